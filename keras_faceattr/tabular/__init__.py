"""Regression on tables: MTB-DNN beside the usual regressors, over repeated splits."""

"""Measuring runs: predictions, metrics with intervals and by group, plots, report, model card."""

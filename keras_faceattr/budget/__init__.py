"""Budgets: classes of devices, limits, and the gates that judge a file."""

"""Deployment as data: recipes, budgets, devices, results."""

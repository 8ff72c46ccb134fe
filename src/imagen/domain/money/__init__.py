"""Prices, costs, budgets and usage."""

"""Draws with the models that Replicate runs."""

"""The bfl backend: the FLUX models of Black Forest Labs, from their maker."""

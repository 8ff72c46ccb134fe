"""The fal backend: every image model that fal runs, by its name."""

"""The Replicate backend: every image model that Replicate runs, by its name."""

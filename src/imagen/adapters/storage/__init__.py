"""Places where images are stored."""

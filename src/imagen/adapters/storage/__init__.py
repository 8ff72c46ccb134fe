"""Storage of images: local folders and streams."""

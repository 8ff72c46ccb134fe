"""Generation metadata inside image files: parsers and writers."""

"""Generation metadata inside image files: parsers, and what imagen writes."""

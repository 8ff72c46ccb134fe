"""Contact sheets: as a picture, and as a page."""

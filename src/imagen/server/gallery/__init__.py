"""The gallery: a page of ours, and the routes that only it asks."""

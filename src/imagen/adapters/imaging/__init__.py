"""Conversion, thumbnails and contact sheets (Pillow); C2PA manifests."""

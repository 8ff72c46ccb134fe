"""Image file formats: reading and writing PNG, JPEG, WebP, EXIF and XMP as bytes."""

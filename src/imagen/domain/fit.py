"""Ways to bring an image to exactly the requested size."""

from enum import StrEnum


class Fit(StrEnum):
    """The method by which an image is brought to the requested size."""

    CROP = "crop"
    """Scale the image to cover the size, and crop the rest evenly."""

    PAD = "pad"
    """Scale the image to fit inside; fill with transparency if possible, else black."""

    RESIZE = "resize"
    """Scale both sides independently; the proportions may change."""

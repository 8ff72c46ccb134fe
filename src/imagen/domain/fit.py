"""How an image that came out near the requested size is brought to it exactly."""

from enum import StrEnum


class Fit(StrEnum):
    """What happens to the picture on the way to the requested size."""

    CROP = "crop"
    """Scale until it covers, cut the rest off evenly."""

    PAD = "pad"
    """Scale until it is inside, fill the rest: transparent if possible, else black."""

    RESIZE = "resize"
    """Scale both sides, whatever that does to the proportions."""

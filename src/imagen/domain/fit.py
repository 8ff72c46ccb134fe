"""Ways to bring an image to exactly the requested size."""

from enum import StrEnum

from imagen.domain.size import Size

MAX_ENLARGEMENT = 2.0
"""An image is enlarged by more than this factor only on request."""


class Fit(StrEnum):
    """The method by which an image is brought to the requested size."""

    CROP = "crop"
    """Scale the image to cover the size, and crop the rest evenly."""

    PAD = "pad"
    """Scale the image to fit inside; fill with transparency if possible, else black."""

    RESIZE = "resize"
    """Scale both sides independently; the proportions may change."""

    def enlarges_too_much(self, sides: tuple[int, int], *, to: tuple[int, int]) -> bool:
        """Return whether an image of those sides is too small for that size."""
        factors = [new / old for old, new in zip(sides, to, strict=True)]
        factor = min(factors) if self is Fit.PAD else max(factors)
        return factor > MAX_ENLARGEMENT


def describe_unfitted(sides: tuple[int, int], size: Size) -> str:
    """Return why an image of those sides is not fitted to that size."""
    width, height = sides
    return (
        f"it would enlarge {width}x{height} to {size}, more than {MAX_ENLARGEMENT:g}"
        " times, which needs fit_upscale"
    )

"""What one call used: calls, images, megapixels, seconds, tokens."""

from collections.abc import Mapping

import msgspec


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used up, which a price turns into a cost.

    None where nobody says; a price for it is then unknown, never 0.

    Attributes:
        calls: 0 when the backend never took it.
        images: How many were made.
        megapixels: Of all of them together; a megapixel is a million pixels.
        seconds: Of a machine's time.
        tokens: By kind, such as `input_text` and `output_image`; of a kind that is not
            named there were none.
    """

    calls: int = 1
    images: int | None = None
    megapixels: float | None = None
    seconds: float | None = None
    tokens: Mapping[str, int] | None = None


UNTOUCHED = Used(calls=0, images=0, megapixels=0, seconds=0, tokens={})
"""What a call used that the backend certainly refused before it began."""

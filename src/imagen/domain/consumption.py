"""The billable consumption of a call: calls, images, megapixels, seconds, tokens."""

from collections.abc import Mapping

import msgspec


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """The consumption of one call, which a price converts into a cost.

    A value of None is unknown. A cost that depends on it is then unknown too, never 0.

    Attributes:
        calls: 1, or 0 if the backend never accepted the call.
        images: Number of images.
        megapixels: Total of all images, in millions of pixels.
        seconds: Machine time.
        tokens: Number by kind, such as `input_text` and `output_image`; a kind that is
            missing counts 0.
        micros: The amount that the backend charged, in micro-dollars, if it reports it.
            It is the cost then, whatever the price and the other quantities are.
    """

    calls: int = 1
    images: int | None = None
    megapixels: float | None = None
    seconds: float | None = None
    tokens: Mapping[str, int] | None = None
    micros: int | None = None


UNTOUCHED = Used(calls=0, images=0, megapixels=0, seconds=0, tokens={})
"""The consumption of a call that the backend certainly rejected before it began."""

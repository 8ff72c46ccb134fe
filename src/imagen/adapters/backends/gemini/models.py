"""The image models of the Gemini API, and the sizes that they make.

From Google's documentation as of 2026-11-30, by way of the table in litellm 1.110.2.
Prices and shutdown dates are in `prices.json` and `shutdowns.json` of adapters/system.
"""

from collections.abc import Mapping

import msgspec

from imagen.domain.size import Size

DEFAULT_MODEL = "gemini-nano-banana-2.1"
PROVIDER = "google"
"""The vendor's name in the tables of prices and shutdowns."""

_SCALES: Mapping[str, float] = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}
"""The image sizes, and the factor between their sides and those of 1K."""

_RATIOS: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "1:4": (512, 2048),
    "4:1": (2048, 512),
    "1:8": (384, 3072),
    "8:1": (3072, 384),
}
"""Width and height of an image of 1K, by its aspect ratio."""

_USUAL = tuple(_RATIOS)[:10]


class GeminiModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can do.

    Attributes:
        image_sizes: The image sizes, the default first.
        ratios: The aspect ratios.
        references: Maximum number of reference images.
    """

    image_sizes: tuple[str, ...] = ("1K",)
    ratios: tuple[str, ...] = _USUAL
    references: int = 14

    @property
    def sizes(self) -> Mapping[Size, tuple[str, str]]:
        """The aspect ratio and the image size of each size in pixels."""
        return {
            _scale(_RATIOS[ratio], _SCALES[image_size]): (ratio, image_size)
            for image_size in self.image_sizes
            for ratio in self.ratios
        }


def _scale(sides: tuple[int, int], factor: float) -> Size:
    return Size(*(int(side * factor) for side in sides))


MODELS: Mapping[str, GeminiModel] = {
    # Image size 512 is documented, and answered with HTTP 400 (2026-10).
    DEFAULT_MODEL: GeminiModel(image_sizes=("1K", "2K", "4K"), ratios=tuple(_RATIOS)),
    "gemini-3.1-flash-lite-image": GeminiModel(),
    "gemini-3.1-flash-image": GeminiModel(
        image_sizes=("1K", "512", "2K", "4K"), ratios=tuple(_RATIOS)
    ),
    "gemini-2.5-flash-image": GeminiModel(references=3),
    "gemini-3-pro-image": GeminiModel(image_sizes=("1K", "2K", "4K")),
}
"""The models by name."""

UNKNOWN_MODEL = GeminiModel()
"""What a model is taken to support that the API has and the table does not."""

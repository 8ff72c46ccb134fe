"""The built-in styles, which the sample config shows."""

from imagen.domain.size import Size
from imagen.domain.style import Style

BUILT_IN_STYLES = (
    Style(
        name="blog-header",
        prompt=(
            "{prompt}, wide editorial illustration, muted palette, generous negative"
            " space"
        ),
        negative="text, watermark",
        size=Size(1536, 768),
    ),
    Style(
        name="photo",
        prompt=(
            "{prompt}, natural light, shallow depth of field, true colours, fine detail"
        ),
        negative="illustration, rendering, text, watermark",
        size=Size(1216, 832),
    ),
    Style(
        name="line-art",
        prompt=(
            "{prompt}, clean black line drawing on a white background, even line"
            " weight, no shading"
        ),
        negative="colour, shading, text",
        size=Size(1024, 1024),
    ),
    Style(
        name="square-icon",
        prompt=(
            "{prompt}, one simple centred shape, flat colours, plain background,"
            " readable when small"
        ),
        negative="text, clutter, photograph",
        size=Size(512, 512),
    ),
)

"""The kind of files that a model returns, as far as its description tells."""

import re
from collections.abc import Collection

from imagen.domain.media import SVG

_TYPES = {
    "svg": SVG,
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
}
_EXTENSION = re.compile(r"[^/:]/[^?#]*\.([A-Za-z0-9]{2,5})(?:[?#].*)?")
_VIDEO_INPUTS = {"fps", "frame_rate", "frames_per_second", "num_frames", "duration"}


def guess_output_type(
    name: str, *, inputs: Collection[str], examples: Collection[str]
) -> str:
    """Return the media type of the outputs if it is not one of common images, else "".

    Args:
        name: `owner/name` of the model.
        inputs: The names of the model's inputs.
        examples: URLs of outputs in the model's description.
    """
    for url in examples:
        # The name of the file, which a data URI does not have.
        if not url.startswith("data:") and (found := _EXTENSION.search(url)):
            return _TYPES.get(found[1].lower(), "")
    if name.lower().endswith("-svg"):
        return SVG
    return "video/mp4" if _VIDEO_INPUTS.intersection(inputs) else ""

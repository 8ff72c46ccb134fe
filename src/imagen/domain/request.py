"""What a person asked for, before anyone decides how."""

from collections.abc import Mapping

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.reference import ReferenceImage
from imagen.domain.seed import validate_seed
from imagen.domain.sidecar import Change
from imagen.domain.size import Size
from imagen.domain.style import Style

MAX_IMAGES = 1000
"""More than this in one command is taken for a slip of the finger."""

MAX_STEPS = 1_000_000
"""Likewise; ComfyUI, for one, takes no more than 10,000."""


class DroppedParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What does not come along when an image is made again.

    Attributes:
        ignored: Parameters that it was made with, and why they are left out.
        adjusted: What stands in the place of what, and why.
        notes: What else is not as it was, each a sentence.
    """

    ignored: Mapping[str, str] = {}
    adjusted: Mapping[str, Change] = {}
    notes: tuple[str, ...] = ()


NOTHING_DROPPED = DroppedParameters()


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One ask. The defaults here are the defaults everywhere.

    Attributes:
        prompt: The words as given.
        prompt_sent: The words as a style has put them already; "" lets `style` do that.
        negative: What to keep out.
        style: How to say it, and settings to fall back on.
        size: None takes the style's, the instance's, else 1024x1024.
        seed: 0 lets imagen draw one.
        steps: 0 takes the style's, the instance's, else the backend's own.
        model: None takes the instance's.
        count: How many images.
        options: Parameters of the backend's own.
        images: Reference images.
        mask: Where it is transparent the first reference image is painted anew.
        fit: How to reach exactly the size, if the backend only comes near.
        timeout: Seconds for one image; None takes the instance's.
        strict: Refuse what would be ignored or changed.
        max_cost: Micro-dollars that all of it may cost at most; None is no limit.
        dropped: What an image was made with that is made again, and this one is not.
        unsupported_fields: Requested fields that no backend here supports, by name,
            each with the reason.
    """

    prompt: str
    prompt_sent: str = msgspec.field(default="", name="sent")
    negative: str = ""
    style: Style | None = None
    size: Size | None = None
    seed: int = 0
    steps: int = 0
    model: str | None = None
    count: int = 1
    options: Mapping[str, object] = {}
    images: tuple[ReferenceImage, ...] = ()
    mask: ReferenceImage | None = None
    fit: Fit | None = None
    timeout: float | None = None
    strict: bool = False
    max_cost: int | None = None
    dropped: DroppedParameters = msgspec.field(default=NOTHING_DROPPED, name="lost")
    unsupported_fields: Mapping[str, str] = msgspec.field(
        default_factory=dict[str, str], name="unheeded"
    )

    def __post_init__(self) -> None:
        self._check_types()
        if not self.prompt.strip():
            raise InvalidRequest(
                "The prompt is empty.", hint="Say what the image should show."
            )
        style = self.style
        texts = {
            "prompt": f"{self.prompt}{self.prompt_sent}",
            "negative": self.negative,
            "model": self.model or "",
            "style": f"{style.name}{style.prompt}{style.negative}" if style else "",
        }
        for where, words in texts.items():
            _check_text(words, where)
        _check_options({**(style.options if style else {}), **self.options})
        validate_seed(self.seed)
        if not 0 <= self.steps <= MAX_STEPS:
            raise InvalidRequest(
                f"{self.steps} steps cannot be made.",
                hint=f"Give 1 to {MAX_STEPS}; 0 is the backend's own number.",
            )
        if not 1 <= self.count <= MAX_IMAGES:
            raise InvalidRequest(
                f"{self.count} images cannot be asked for at once.",
                hint=f"Give a count from 1 to {MAX_IMAGES}.",
            )
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise InvalidRequest(
                f"A timeout of {self.timeout:g} seconds makes no sense.",
                hint="Give a number of seconds above 0.",
            )
        if self.mask is not None and not self.images:
            raise InvalidRequest(
                "There is a mask, but no image that it is for.",
                hint="Give the image with --image.",
            )
        if self.max_cost is not None and self.max_cost < 0:
            raise InvalidRequest("The highest cost is below nothing.")
        if self.model is not None and not self.model.strip():
            raise InvalidRequest("The model has no name.")

    def _check_types(self) -> None:
        """Python checks no types, and what comes in here is somebody else's."""
        _check_type("prompt", self.prompt, str, what="text")
        _check_type("negative", self.negative, str, what="text")
        _check_type("seed", self.seed, int, what="a whole number")
        _check_type("steps", self.steps, int, what="a whole number")
        _check_type("count", self.count, int, what="a whole number")
        if self.model is not None:
            _check_type("model", self.model, str, what="text")
        if self.timeout is not None:
            _check_type("timeout", self.timeout, int, float, what="a number of seconds")
        try:
            msgspec.convert(self.options, dict[str, object])
        except msgspec.ValidationError:
            raise InvalidRequest(
                f"set is {self.options!r}, and should be a mapping with names of text."
            ) from None


def _check_type(name: str, value: object, *kinds: type, what: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InvalidRequest(f"{name} is {value!r}, and should be {what}.")


def _check_text(words: str, where: str) -> None:
    try:
        words.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"The {where} is not valid UTF-8 text.", hint="Check how it was typed."
        ) from None
    if "\0" in words:
        raise InvalidRequest(f"The {where} contains a NUL character.")


def _check_options(options: Mapping[str, object]) -> None:
    try:
        msgspec.json.encode(options)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(
            f"The backend's own parameters cannot be written down as JSON: {error}.",
            hint="Use text, numbers, booleans, lists and mappings.",
        ) from error

"""The generation request: what the user wants, for any backend."""

import re
from collections.abc import Mapping
from typing import Self

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.reference import ReferenceImage
from imagen.domain.seed import validate_seed
from imagen.domain.sidecar import Change
from imagen.domain.size import Size
from imagen.domain.style import Style

# The names of request fields in a parameter report. A backend parameter with one of
# these names is reported as `set.NAME`.
FIELD_NAMES = frozenset(
    {
        "aspect",
        "count",
        "fit",
        "fit_upscale",
        "images",
        "mask",
        "model",
        "negative",
        "prompt",
        "seed",
        "size",
        "steps",
    }
)

# Larger numbers are most likely typing errors. ComfyUI, for one, accepts no more than
# 10,000 steps.
MAX_IMAGES = 1000
MAX_STEPS = 1_000_000


_NUMBER = r"([0-9]{1,5}(?:\.[0-9]{1,4})?)"
_ASPECT_RATIO = re.compile(f"{_NUMBER}:{_NUMBER}", re.ASCII)


class AspectRatio(msgspec.Struct, frozen=True):
    """The shape of an image: width to height, such as 16:9."""

    width: float
    height: float

    def __str__(self) -> str:
        return f"{self.width:g}:{self.height:g}"

    @property
    def ratio(self) -> float:
        """Width divided by height."""
        return self.width / self.height

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parse `"16:9"` or `"1.85:1"`.

        Raises:
            InvalidRequest: the text is not of this form, or a number is 0.
        """
        found = _ASPECT_RATIO.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None or not float(found[1]) or not float(found[2]):
            raise InvalidRequest(
                f"Invalid aspect ratio {text!r}.",
                hint="Use WIDTH:HEIGHT, up to 99999 each, such as 16:9.",
            )
        return cls(float(found[1]), float(found[2]))

    def resize(self, size: Size) -> Size:
        """Return the size of this shape with the pixel count of another size.

        Raises:
            InvalidRequest: a side would be out of range.
        """
        pixels = size.width * size.height
        width = round((pixels * self.ratio) ** 0.5)
        height = round((pixels / self.ratio) ** 0.5)
        try:
            return Size(width, height)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"An aspect ratio of {self} makes an image of {width}x{height}, which "
                "is out of range.",
                hint=f"{error.hint} Use a ratio such as 16:9.",
            ) from error


class DroppedParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between a rerun and the original image, or a plan and a request.

    Attributes:
        ignored: Parameters that are not sent, with the reason.
        adjusted: Parameters that are sent with another value, with the reason.
        notes: Other differences, each as a sentence.
    """

    ignored: Mapping[str, str] = {}
    adjusted: Mapping[str, Change] = {}
    notes: tuple[str, ...] = ()


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for images. Its defaults apply to every interface of imagen.

    Attributes:
        prompt: The prompt without the style.
        prompt_sent: The prompt with the style applied; "" applies `style`.
        size: None uses that of the style, else of the instance, else of the workflow
            or model if the backend knows it, else 1024x1024.
        aspect: The shape of the image; the size then only gives the pixel count.
        seed: 0 chooses a random seed.
        steps: 0 uses that of the style, else of the instance, else of the backend.
        model: None uses the instance's model.
        count: None makes the number that a workflow has of its own, else one.
        mask: The first reference image is repainted where the mask is transparent.
        fit: How to reach exactly the size if the backend supports only a similar one.
        fit_upscale: Whether `fit` may enlarge an image more than twice.
        timeout: Seconds for one image; None uses that of the instance, else of
            the model.
        strict: Reject the request if a parameter would be ignored or adjusted.
        max_cost: Maximum cost of the request in micro-dollars; None is unlimited.
        dropped: In a rerun, the differences from the original image.
        unsupported_fields: Requested fields that no backend here supports, by name,
            each with the reason.
    """

    # The journal stores requests as JSON, so renamed fields keep their stored names.
    prompt: str
    prompt_sent: str = msgspec.field(default="", name="sent")
    negative: str = ""
    style: Style | None = None
    size: Size | None = None
    aspect: AspectRatio | None = None
    seed: int = 0
    steps: int = 0
    model: str | None = None
    count: int | None = None
    options: Mapping[str, object] = {}
    images: tuple[ReferenceImage, ...] = ()
    mask: ReferenceImage | None = None
    fit: Fit | None = None
    fit_upscale: bool = False
    timeout: float | None = None
    strict: bool = False
    max_cost: int | None = None
    dropped: DroppedParameters = msgspec.field(default=DroppedParameters(), name="lost")
    unsupported_fields: Mapping[str, str] = msgspec.field(
        default_factory=dict[str, str], name="unheeded"
    )

    def __post_init__(self) -> None:
        self._check_types()
        if not self.prompt.strip():
            raise InvalidRequest(
                "The prompt is empty.", hint="Describe what the image should show."
            )
        style = self.style
        texts = {
            "prompt": f"{self.prompt}{self.prompt_sent}",
            "negative": self.negative,
            "model": self.model or "",
            "style": f"{style.name}{style.prompt}{style.negative}" if style else "",
        }
        for name, text in texts.items():
            _check_text(name, text)
        _check_options({**(style.options if style else {}), **self.options})
        validate_seed(self.seed)
        if not 0 <= self.steps <= MAX_STEPS:
            raise InvalidRequest(
                f"The number of steps ({self.steps}) is out of range.",
                hint=f"Use 1 to {MAX_STEPS}, or 0 for the backend's default.",
            )
        if self.count is not None and not 1 <= self.count <= MAX_IMAGES:
            raise InvalidRequest(
                f"The number of images ({self.count}) is out of range.",
                hint=f"Use 1 to {MAX_IMAGES}.",
            )
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise InvalidRequest(
                f"The timeout of {self.timeout:g} seconds is out of range.",
                hint="Use a number of seconds above 0.",
            )
        if self.mask is not None and not self.images:
            raise InvalidRequest(
                "The mask has no reference image.",
                hint="Add the image that it applies to with --image.",
            )
        if self.max_cost is not None and self.max_cost < 0:
            raise InvalidRequest("The maximum cost is negative; use 0 or more.")
        if self.model is not None and not self.model.strip():
            raise InvalidRequest("The model name is empty.")

    def _check_types(self) -> None:
        # msgspec checks types only when it decodes; users of the Python API construct
        # requests directly.
        _check_type("prompt", self.prompt, str, expected="text")
        _check_type("negative", self.negative, str, expected="text")
        _check_type("seed", self.seed, int, expected="a whole number")
        _check_type("steps", self.steps, int, expected="a whole number")
        if self.count is not None:
            _check_type("count", self.count, int, expected="a whole number")
        if self.model is not None:
            _check_type("model", self.model, str, expected="text")
        if self.timeout is not None:
            _check_type("timeout", self.timeout, int, float, expected="a number")
        try:
            msgspec.convert(self.options, dict[str, object])
        except msgspec.ValidationError:
            raise InvalidRequest(
                f"set must be a mapping with text keys, not {self.options!r}."
            ) from None


def _check_type(name: str, value: object, *kinds: type, expected: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be {expected}, not {value!r}.")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"The {name} is not valid UTF-8 text.",
            hint="Check the encoding of your input.",
        ) from None
    if "\0" in text:
        raise InvalidRequest(f"The {name} contains a NUL character.")


def _check_options(options: Mapping[str, object]) -> None:
    try:
        msgspec.json.encode(options)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(
            f"The backend parameters cannot be stored as JSON: {error}.",
            hint="Use text, numbers, booleans, lists and mappings.",
        ) from error

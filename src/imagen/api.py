"""imagen in a notebook or a program: plain words in, images out."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from os import PathLike, fspath
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self, TypeAlias, TypedDict, Unpack, overload

from imagen import bootstrap
from imagen.bootstrap import Wish
from imagen.domain.errors import ImagenError, InvalidRequest, SomeImagesFailed
from imagen.domain.estimate import Estimate, estimate_of
from imagen.domain.events import Listener, unheard
from imagen.domain.inspection import Inspection
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.size import Size
from imagen.ports.backend import CloseableBackend, ImageBackend
from imagen.settings.environment import process_environment
from imagen.settings.model import BackendSettings
from imagen.usecases.cancellation import Cancellation
from imagen.usecases.crew import GRACE
from imagen.usecases.generate import GenerateImages

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = [
    "Estimate",
    "Image",
    "Images",
    "Inspection",
    "Studio",
    "agenerate",
    "estimate",
    "generate",
    "inspect",
]


ImageSource: TypeAlias = str | PathLike[str] | bytes
"""The path of an image, or its content."""


class Parameters(TypedDict, total=False):
    """The parameters of a generation, as `generate` explains them."""

    backend: str | None
    style: str | None
    negative: str
    size: str | tuple[int, int] | Size | None
    seed: int
    steps: int
    model: str | None
    set: Mapping[str, object] | None
    images: Sequence[ImageSource] | None
    mask: ImageSource | None
    max_cost: float | str | Decimal | None
    timeout: float | None
    strict: bool
    output: str | PathLike[str] | None
    fit: str | None
    sidecar: bool
    metadata: bool
    preview: bool
    listen: Listener


@overload
def generate(
    prompt: str,
    *,
    count: None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> "Image": ...
@overload
def generate(
    prompt: str,
    *,
    count: int,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> "Images": ...
def generate(
    prompt: str,
    *,
    backend: str | None = None,
    style: str | None = None,
    negative: str = "",
    size: str | tuple[int, int] | Size | None = None,
    count: int | None = None,
    seed: int = 0,
    steps: int = 0,
    model: str | None = None,
    set: Mapping[str, object] | None = None,  # noqa: A002 - the flag is called so
    images: Sequence[ImageSource] | None = None,
    mask: ImageSource | None = None,
    max_cost: float | str | Decimal | None = None,
    timeout: float | None = None,
    strict: bool = False,
    output: str | PathLike[str] | None = None,
    fit: str | None = None,
    sidecar: bool = True,
    metadata: bool = True,
    preview: bool = False,
    config: str | PathLike[str] | None = None,
    listen: Listener = unheard,
) -> "Image | Images":
    """Generate an image of the prompt and store it; with `count`, a list of images.

    Works in scripts, in notebooks and from several threads.

    Args:
        prompt: What the image shows.
        backend: An instance of the config; None takes its default.
        style: A style of the config.
        negative: What to keep out of the image.
        size: Width and height in pixels, such as `"1536x768"` or `(1536, 768)`,
            16 to 16384 each; None takes the style's, the backend's, else 1024x1024.
        count: How many images; their seeds follow on from the first.
        seed: 0 draws one; the seed used is always recorded.
        steps: 0 is the backend's own number.
        model: Where the backend lets it be chosen.
        set: Parameters of the backend's own.
        images: Reference images, as paths or as the bytes of files, for backends that
            edit or take them.
        mask: Where it is transparent the first of them is painted anew.
        max_cost: Dollars; refuse what would cost more, or nobody knows how much.
        timeout: Seconds for one image, then the job is cancelled; None takes the
            backend's, else 600.
        strict: Refuse what would be ignored or changed.
        output: A file (its extension is the format) or a folder; None takes the
            config's naming template.
        fit: `"crop"`, `"pad"` or `"resize"`, to reach exactly the size if the backend
            only came near it.
        sidecar: False writes no `.json` beside the image.
        metadata: False writes nothing about the making inside the file.
        preview: True shows each image in a tmux window in the background.
        config: The config file; None looks where the command line looks.
        listen: Called with every event as it happens, from any thread.

    Returns:
        The image; with `count` the images, a list of one for `count=1`.

    Raises:
        SomeImagesFailed: of several images, not all were made.
        ImagenError: whatever else went wrong; each kind has its own class.
    """
    with Studio(config=config) as studio:
        return studio._generate(  # noqa: SLF001 - our own
            prompt,
            count,
            Parameters(
                backend=backend,
                style=style,
                negative=negative,
                size=size,
                seed=seed,
                steps=steps,
                model=model,
                set=set,
                images=images,
                mask=mask,
                max_cost=max_cost,
                timeout=timeout,
                strict=strict,
                output=output,
                fit=fit,
                sidecar=sidecar,
                metadata=metadata,
                preview=preview,
                listen=listen,
            ),
            Cancellation(),
        )


@overload
async def agenerate(
    prompt: str,
    *,
    count: None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> "Image": ...
@overload
async def agenerate(
    prompt: str,
    *,
    count: int,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> "Images": ...
async def agenerate(
    prompt: str,
    *,
    count: int | None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> "Image | Images":
    """Do what `generate` does, for async code; cancelling the task cancels the job."""
    with Studio(config=config) as studio:
        return await studio._agenerate(prompt, count, parameters)  # noqa: SLF001 - our own


def estimate(
    prompt: str,
    *,
    count: int | None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> Estimate:
    """Return what `generate` would send and what it would cost; send nothing.

    Raises:
        ImagenError: what `generate` would raise before sending.
    """
    with Studio(config=config) as studio:
        return studio.estimate(prompt, count=count, **parameters)


def inspect(image: str | PathLike[str]) -> Inspection:
    """Return what an image file, its sidecar and the history say of its making.

    Args:
        image: A path, an id, a unique beginning of an id, or `"last"`.

    Raises:
        InvalidRequest: there is no such image, or it is none of a known format.
        JournalError: the history cannot be read, and is needed.
    """
    environment = process_environment()
    with bootstrap.accounts(environment) as accounts:
        use_case = bootstrap.build_inspect(accounts, environment=environment)
        return use_case.run(fspath(image))


class Image:
    """An image that was made and stored; shows itself in a notebook."""

    def __init__(self, stored: StoredImage) -> None:
        self._stored = stored

    def __repr__(self) -> str:
        return f"<imagen.Image {self.path} {self.width}x{self.height} seed={self.seed}>"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self._stored.location)

    @property
    def sidecar(self) -> Sidecar:
        """Everything that is known of how it was made."""
        return self._stored.sidecar

    @property
    def bytes(self) -> bytes:
        """The file's content."""
        return self._stored.content

    @property
    def mime_type(self) -> str:
        """The file's media type, such as `image/png`."""
        return self._stored.facts.media_type

    @property
    def seed(self) -> int | None:
        """The seed actually used; None when there was none."""
        return self.sidecar.seed

    @property
    def width(self) -> int:
        """In pixels, read from the file."""
        return self._stored.facts.width

    @property
    def height(self) -> int:
        """In pixels, read from the file."""
        return self._stored.facts.height

    @property
    def cost_usd(self) -> float | None:
        """Dollars; None when unknown."""
        return self.sidecar.cost_usd

    def pil(self) -> "PillowImage.Image":
        """Return the picture as a `PIL.Image.Image`."""
        from io import BytesIO  # noqa: PLC0415 - only here

        from PIL import Image as pillow  # noqa: N813 - costs Pillow

        picture = pillow.open(BytesIO(self.bytes))
        picture.load()
        return picture

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The picture with its caption, and the words for where HTML is not shown."""
        del include, exclude  # the notebook chooses from what it gets
        from imagen.adapters.preview.notebook import figure  # noqa: PLC0415 - rare

        return {"text/html": figure(self._stored), "text/plain": repr(self)}


class Images(list[Image]):
    """Images of one request; show themselves as a grid in a notebook."""

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        del include, exclude
        from imagen.adapters.preview.notebook import grid  # noqa: PLC0415 - rare

        stored = [image._stored for image in self]  # noqa: SLF001 - our own
        return {"text/html": grid(stored), "text/plain": repr(self)}


class Studio:
    """One configuration and warm connections, for many calls, from any thread.

    Example:
        >>> with imagen.Studio(config="imagen.yaml") as studio:  # doctest: +SKIP
        ...     image = studio.generate("a cat")

    Args:
        config: The config file; None looks where the command line looks.

    Raises:
        Misconfigured: the config is not there, or something in it is wrong.
    """

    def __init__(self, *, config: str | PathLike[str] | None = None) -> None:
        self._environment = process_environment()
        self._settings = bootstrap.load(
            None if config is None else fspath(config), environment=self._environment
        )
        self._accounts = bootstrap.open_accounts(self._environment)
        self._backends: dict[str, ImageBackend] = {}
        self._lock = Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections. The studio cannot be used afterwards."""
        with self._lock:
            self._closed = True
            backends, self._backends = list(self._backends.values()), {}
        for backend in backends:
            if isinstance(backend, CloseableBackend):
                backend.close()
        self._accounts.close()

    @overload
    def generate(
        self, prompt: str, *, count: None = None, **parameters: Unpack[Parameters]
    ) -> Image: ...
    @overload
    def generate(
        self, prompt: str, *, count: int, **parameters: Unpack[Parameters]
    ) -> Images: ...
    def generate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Image | Images:
        """Do what `imagen.generate` does, with this studio's configuration."""
        return self._generate(prompt, count, parameters, Cancellation())

    @overload
    async def agenerate(
        self, prompt: str, *, count: None = None, **parameters: Unpack[Parameters]
    ) -> Image: ...
    @overload
    async def agenerate(
        self, prompt: str, *, count: int, **parameters: Unpack[Parameters]
    ) -> Images: ...
    async def agenerate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Image | Images:
        """Do what `imagen.agenerate` does, with this studio's configuration."""
        return await self._agenerate(prompt, count, parameters)

    def estimate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Estimate:
        """Do what `imagen.estimate` does, with this studio's configuration."""
        use_case, request = self._asked(prompt, count, parameters)
        plan = use_case.plan(request)
        use_case.check_budget(plan)
        return estimate_of(plan)

    async def _agenerate(
        self, prompt: str, count: int | None, parameters: Parameters
    ) -> Image | Images:
        import asyncio

        cancellation = Cancellation()
        work = asyncio.ensure_future(
            asyncio.to_thread(self._generate, prompt, count, parameters, cancellation)
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # The remote job is cancelled over connections that are closed after this.
            cancellation.cancel()
            await asyncio.wait([work], timeout=GRACE + 1)
            if work.done():
                work.exception()  # has been heard
            raise

    def _generate(
        self,
        prompt: str,
        count: int | None,
        parameters: Parameters,
        cancellation: Cancellation,
    ) -> Image | Images:
        use_case, request = self._asked(prompt, count, parameters)
        report = use_case.run(request, cancellation=cancellation)
        if parameters.get("preview", False):
            self._preview(report.stored, parameters.get("listen", unheard))
        images = Images(Image(stored) for stored in report.stored)
        errors = [failed.error for failed in report.failed]
        if not errors:
            return images[0] if count is None else images
        if len(errors) == 1 and not images:
            raise errors[0]
        fault = next((e for e in errors if not isinstance(e, ImagenError)), None)
        if fault is not None:
            raise fault
        raise SomeImagesFailed(
            f"{len(errors)} of {request.count} images failed, the first of them: "
            f"{errors[0]}",
            images=images,
            errors=[error for error in errors if isinstance(error, ImagenError)],
        ) from errors[0]

    def _preview(self, stored: Sequence[StoredImage], listen: Listener) -> None:
        window = bootstrap.build_preview(
            self._settings,
            environment=self._environment,
            flag=True,
            on_terminal=False,
            listen=listen,
        )
        for image in stored:
            if window is not None:
                window.run(image)

    def _asked(
        self, prompt: str, count: int | None, given: Parameters
    ) -> tuple[GenerateImages, GenerationRequest]:
        unknown = sorted(given.keys() - Parameters.__annotations__.keys())
        if unknown:
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
        number = 1 if count is None else count
        mask = given.get("mask")
        request = bootstrap.build_request(
            self._settings,
            prompt,
            negative=given.get("negative", ""),
            style=given.get("style"),
            size=given.get("size"),
            seed=given.get("seed", 0),
            steps=given.get("steps", 0),
            model=given.get("model"),
            count=number,
            options=given.get("set"),
            images=[self._read(each) for each in given.get("images") or ()],
            mask=None if mask is None else self._read(mask),
            max_cost=_exact(given.get("max_cost")),
            fit=given.get("fit"),
            timeout=given.get("timeout"),
            strict=given.get("strict", False),
        )
        chosen = bootstrap.find_backend(self._settings, given.get("backend"))
        output = given.get("output")
        use_case = bootstrap.build_generate(
            self._settings,
            chosen,
            self._backend(chosen),
            environment=self._environment,
            accounts=self._accounts,
            wish=Wish(
                output=None if output is None else fspath(output),
                sidecar=given.get("sidecar", True),
                metadata=given.get("metadata", True),
            ),
            count=number,
            listen=given.get("listen", unheard),
        )
        return use_case, request

    def _read(self, source: ImageSource) -> ReferenceImage:
        if isinstance(source, bytes):
            return bootstrap.reference_of(source, name="bytes")
        return bootstrap.read_reference(fspath(source), environment=self._environment)

    def _backend(self, chosen: BackendSettings) -> ImageBackend:
        with self._lock:
            if self._closed:
                raise InvalidRequest("This studio is closed.", hint="Open another one.")
            name = chosen.instance.name
            if name not in self._backends:
                self._backends[name] = bootstrap.build_backend(
                    chosen, environment=self._environment
                )
            return self._backends[name]


def _exact(amount: float | str | Decimal | None) -> Decimal | None:
    try:
        return None if amount is None else Decimal(str(amount))
    except InvalidOperation:
        raise InvalidRequest(
            f"max_cost is {amount!r}, and should be dollars."
        ) from None

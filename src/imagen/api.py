"""imagen in a notebook or a program: plain words in, images out."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, TypedDict, Unpack, cast, overload

import msgspec

from imagen.bootstrap.cloud import build_brief_delivery
from imagen.bootstrap.display import build_notebook_progress, build_preview
from imagen.bootstrap.generation import (
    build_contact_sheet,
    build_generate,
    build_rerun,
    build_sweep,
)
from imagen.bootstrap.library import build_inspect
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.requests import (
    build_overrides,
    build_reference,
    build_request,
    build_sweep_requests,
    parse_max_cost,
    read_reference,
)
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import ImagenError, InvalidRequest, SomeImagesFailed
from imagen.domain.estimate import Estimate, estimate_plan
from imagen.domain.events import Event, Listener, ignore_event, isolate_listener
from imagen.domain.inspection import Inspection
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.size import Size
from imagen.domain.sweep import Axis, parse_numbers
from imagen.domain.sweep import SweepGrid as SweepAxes
from imagen.engine.cancellation import Cancellation
from imagen.engine.thread_pool import GRACE
from imagen.settings.environment import process_environment
from imagen.usecases.generate import GenerateImages

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = [
    "Estimate",
    "Image",
    "Images",
    "Inspection",
    "Studio",
    "Sweep",
    "agenerate",
    "estimate",
    "generate",
    "inspect",
    "rerun",
    "sweep",
]


ImageSource: TypeAlias = str | PathLike[str] | bytes
"""The path of an image, or its content."""


class CommonParameters(TypedDict, total=False):
    """What can be said of every generation, as `generate` explains it."""

    backend: str | None
    size: str | tuple[int, int] | Size | None
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
    cloud: bool
    preview: bool
    live: bool
    progress: bool
    listen: Listener


class Parameters(CommonParameters, total=False):
    """The parameters of a generation, as `generate` explains them."""

    style: str | None
    negative: str
    seed: int
    steps: int


class RerunParameters(CommonParameters, total=False):
    """What is to be different when an image is made again, as `rerun` explains it."""

    seed: int | None
    steps: int | None


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
    cloud: bool = True,
    preview: bool = False,
    live: bool = False,
    config: str | PathLike[str] | None = None,
    progress: bool = True,
    listen: Listener = ignore_event,
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
        cloud: False keeps no copy in the cloud.
        preview: True shows each image in a tmux window in the background.
        live: True has `listen` hear pictures on the way (`Previewed`), where the
            backend sends some.
        config: The config file; None looks where the command line looks.
        progress: False shows no progress in a notebook; elsewhere none is shown.
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
                cloud=cloud,
                preview=preview,
                live=live,
                progress=progress,
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
    with Runtime(process_environment()) as runtime:
        return build_inspect(runtime).run(fspath(image))


@overload
def rerun(
    image: "str | PathLike[str] | Image",
    *,
    count: None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[RerunParameters],
) -> "Image": ...
@overload
def rerun(
    image: "str | PathLike[str] | Image",
    *,
    count: int,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[RerunParameters],
) -> "Images": ...
def rerun(
    image: "str | PathLike[str] | Image",
    *,
    count: int | None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[RerunParameters],
) -> "Image | Images":
    """Make an image again; with `count`, a list of images.

    By its sidecar, else the history, else by what its file says: imagen's own note, or
    what another tool wrote. What cannot be carried over is among the `warnings` of the
    new sidecar.

    Args:
        image: A path, an id, a unique beginning of an id, `"last"`, or an `Image`.
        count: How many; their seeds follow on from the first.
        config: The config file; None looks where the command line looks.
        parameters: Those of `generate`, but for prompt, style and negative; what is
            left out stays as it was. `seed=0` draws another one, `steps=0` is the
            backend's own number, `backend` is the one that made it, else one of its
            adapter, else the default one. With `strict` it is an error that something
            cannot be carried over.

    Raises:
        InvalidRequest: there is no such image, nobody says how it was made, or an image
            that it was made from is not found.
        SomeImagesFailed: of several images, not all were made.
        ImagenError: whatever else went wrong.
    """
    with Studio(config=config) as studio:
        return studio._rerun(image, count, parameters)  # noqa: SLF001 - our own


def sweep(
    prompt: str,
    *,
    seed: "int | str | Iterable[int] | None" = None,
    steps: "int | str | Iterable[int] | None" = None,
    backend: str | Sequence[str] | None = None,
    model: str | Sequence[str] | None = None,
    style: str | Sequence[str] | None = None,
    size: str | tuple[int, int] | Size | list[str] | None = None,
    set: Mapping[str, object] | None = None,  # noqa: A002 - the flag is called so
    negative: str = "",
    images: Sequence[ImageSource] | None = None,
    mask: ImageSource | None = None,
    jobs: int | None = None,
    max_cost: float | str | Decimal | None = None,
    timeout: float | None = None,
    strict: bool = False,
    output: str | PathLike[str] | None = None,
    fit: str | None = None,
    sidecar: bool = True,
    metadata: bool = True,
    cloud: bool = True,
    sheet: bool = True,
    config: str | PathLike[str] | None = None,
    progress: bool = True,
    listen: Listener = ignore_event,
) -> "Sweep":
    """Make every combination of the values given, and a contact sheet of them.

    Example:
        >>> import imagen
        >>> imagen.sweep("a fox", seed="1..4", steps=[4, 8])  # doctest: +SKIP

    Args:
        prompt: What the images show.
        seed: One, several, or words such as `"1..4,9"`; None draws one for all.
        steps: Likewise; None is the backend's own number.
        backend: An instance of the config, or several; None takes its default.
        model: One or several, where the backend lets it be chosen.
        style: One or several styles of the config.
        size: One such as `"1536x768"` or `(1536, 768)`, or a list of such words.
        set: Parameters of the backend's own; a list or tuple is several values.
        negative: What to keep out of the images.
        images: Reference images, as paths or as the bytes of files.
        mask: Where it is transparent the first of them is painted anew.
        jobs: Calls at once; None has each backend make as many as its `concurrency`.
        max_cost: Dollars for all of it; refuse what would cost more, or nobody knows
            how much.
        timeout: Seconds for one image.
        strict: Refuse what would be ignored or changed.
        output: A folder, or a name that is numbered; None takes the config's template.
        fit: `"crop"`, `"pad"` or `"resize"`, to reach exactly the size.
        sidecar: False writes no `.json` beside the images.
        metadata: False writes nothing about the making inside the files.
        cloud: False keeps no copies in the cloud.
        sheet: False makes no contact sheet.
        config: The config file; None looks where the command line looks.
        progress: False shows no progress in a notebook; elsewhere none is shown.
        listen: Called with every event as it happens, from any thread.

    Raises:
        SomeImagesFailed: not all were made; those that were are in it, and on the
            sheet.
        ImagenError: whatever else went wrong; nothing was sent.
    """
    axes = [
        *_several(backend=backend, model=model, style=style),
        *_sizes(size),
        *_whole_numbers(steps=steps, seed=seed),
        *(
            Axis(name=f"set.{name}", values=_values(value))
            for name, value in (set or {}).items()
        ),
    ]
    with Studio(config=config) as studio:
        return studio._sweep(  # noqa: SLF001 - our own
            prompt,
            SweepAxes.of(axes),
            Parameters(
                negative=negative,
                images=images,
                mask=mask,
                max_cost=max_cost,
                timeout=timeout,
                strict=strict,
                output=output,
                fit=fit,
                sidecar=sidecar,
                metadata=metadata,
                cloud=cloud,
                progress=progress,
                listen=listen,
            ),
            jobs=jobs,
            sheet=sheet,
        )


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
        from imagen.adapters.display.notebook import render_figure  # noqa: PLC0415 - rare

        return {"text/html": render_figure(self._stored), "text/plain": repr(self)}


class Images(list[Image]):
    """Images of one request; show themselves as a grid in a notebook."""

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        del include, exclude
        from imagen.adapters.display.notebook import render_grid  # noqa: PLC0415 - rare

        stored = [image._stored for image in self]  # noqa: SLF001 - our own
        return {"text/html": render_grid(stored), "text/plain": repr(self)}


class Sweep:
    """The images of a sweep and its contact sheet, which a notebook shows.

    Attributes:
        images: In the order of the combinations.
        cells: Of each image the values that it was made with, by their names.
        page: The contact sheet as HTML; None where none was made.
        picture: The same as a PNG.
    """

    def __init__(
        self,
        images: Images,
        cells: Sequence[Mapping[str, object]],
        *,
        page: Path | None,
        picture: Path | None,
    ) -> None:
        self.images = images
        self.cells = list(cells)
        self.page = page
        self.picture = picture

    def __repr__(self) -> str:
        return (
            f"<imagen.Sweep of {len(self.images)} images {self.page or ''}".rstrip()
            + ">"
        )

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, object]:
        if self.picture is None:
            return {**self.images._repr_mimebundle_(include, exclude)}
        from base64 import b64encode  # noqa: PLC0415 - rare

        data = b64encode(self.picture.read_bytes()).decode()
        return {"image/png": data, "text/plain": repr(self)}


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
        self._runtime = Runtime.load(
            None if config is None else fspath(config),
            environment=process_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections. The studio cannot be used afterwards."""
        self._runtime.close()

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
        return estimate_plan(plan)

    @overload
    def rerun(
        self,
        image: "str | PathLike[str] | Image",
        *,
        count: None = None,
        **parameters: Unpack[RerunParameters],
    ) -> Image: ...
    @overload
    def rerun(
        self,
        image: "str | PathLike[str] | Image",
        *,
        count: int,
        **parameters: Unpack[RerunParameters],
    ) -> Images: ...
    def rerun(
        self,
        image: "str | PathLike[str] | Image",
        *,
        count: int | None = None,
        **parameters: Unpack[RerunParameters],
    ) -> Image | Images:
        """Do what `imagen.rerun` does, with this studio's configuration."""
        return self._rerun(image, count, parameters)

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
        with _shown(parameters) as listen:
            use_case, request = self._asked(prompt, count, parameters, listen)
            report = use_case.run(request, cancellation=cancellation)
        return self._made(report.stored, report.failed, parameters, count)

    def _rerun(
        self,
        image: "str | PathLike[str] | Image",
        count: int | None,
        parameters: RerunParameters,
    ) -> Image | Images:
        _check_names(parameters, RerunParameters)
        again = build_rerun(self._runtime)
        past = again.find_source(
            str(image.path) if isinstance(image, Image) else fspath(image)
        )
        images, mask = parameters.get("images"), parameters.get("mask")
        wishes = build_overrides(
            count=1 if count is None else count,
            seed=parameters.get("seed"),
            steps=parameters.get("steps"),
            size=parameters.get("size"),
            model=parameters.get("model"),
            options=parameters.get("set"),
            images=None if images is None else [self._read(each) for each in images],
            mask=None if mask is None else self._read(mask),
            max_cost=_exact(parameters.get("max_cost")),
            fit=parameters.get("fit"),
            timeout=parameters.get("timeout"),
            strict=parameters.get("strict", False),
        )
        backend = parameters.get("backend") or past.backend
        with _shown(parameters) as listen:
            maker = self._maker(
                backend,
                parameters,
                count=wishes.count,
                media_type=past.media_type_for(backend),
                listen=listen,
            )
            report = maker.run(again.build_request(past, wishes, maker=maker))
        return self._made(report.stored, report.failed, parameters, count)

    def _sweep(
        self,
        prompt: str,
        axes: SweepAxes,
        given: Parameters,
        *,
        jobs: int | None,
        sheet: bool,
    ) -> Sweep:
        if jobs is not None and jobs < 1:
            raise InvalidRequest(f"jobs is {jobs}, and should be 1 or more.")
        mask = given.get("mask")
        cells = build_sweep_requests(
            self._runtime.settings,
            axes,
            prompt,
            negative=given.get("negative", ""),
            images=[self._read(each) for each in given.get("images") or ()],
            mask=None if mask is None else self._read(mask),
            fit=given.get("fit"),
            timeout=given.get("timeout"),
            strict=given.get("strict", False),
        )
        self._check_open()
        outcomes: list[StoredImage | FailedImage] = []
        with _shown(given) as listen:
            use_case = build_sweep(
                self._runtime,
                [name for name, _ in cells],
                output=_wish(given),
                listen=listen,
            )
            most = parse_max_cost(_exact(given.get("max_cost")))
            plan = use_case.plan(axes, cells, max_cost=most)
            collected = build_contact_sheet(use_case, plan) if sheet else None
            for outcome in use_case.outcomes(plan, Cancellation(), at_once=jobs):
                outcomes.append(outcome)
                if collected is not None:
                    collected.add(outcome)
        saved = None
        if collected is not None and not collected.is_empty:
            saved = collected.save()
        outcomes.sort(key=lambda outcome: outcome.number)
        made = self._made(
            [each for each in outcomes if isinstance(each, StoredImage)],
            [each for each in outcomes if isinstance(each, FailedImage)],
            given,
            len(outcomes),
        )
        return Sweep(
            Images([made]) if isinstance(made, Image) else made,
            [cell.values for cell in plan.cells],
            page=Path(saved.page_location) if saved else None,
            picture=Path(saved.picture_location) if saved else None,
        )

    def _made(
        self,
        stored: Sequence[StoredImage],
        failed: Sequence[FailedImage],
        parameters: CommonParameters,
        count: int | None,
    ) -> Image | Images:
        """Return what was made, or raise why not all of it was."""
        listen = parameters.get("listen", ignore_event)
        if parameters.get("preview", False):
            self._preview(stored, listen)
        deliver = build_brief_delivery(
            self._runtime,
            images=parameters.get("cloud", True),
            listen=listen,
        )
        if deliver is not None:
            deliver(Cancellation())
        images = Images(Image(each) for each in stored)
        errors = [each.error for each in failed]
        if not errors:
            return images[0] if count is None else images
        if len(errors) == 1 and not images:
            raise errors[0]
        fault = next((e for e in errors if not isinstance(e, ImagenError)), None)
        if fault is not None:
            raise fault
        raise SomeImagesFailed(
            f"{len(errors)} of {len(images) + len(errors)} images failed, the first of "
            f"them: {errors[0]}",
            images=images,
            errors=[error for error in errors if isinstance(error, ImagenError)],
        ) from errors[0]

    def _preview(self, stored: Sequence[StoredImage], listen: Listener) -> None:
        window = build_preview(
            self._runtime,
            flag=True,
            on_terminal=False,
            listen=listen,
        )
        for image in stored:
            if window is not None:
                window.run(image)

    def _asked(
        self,
        prompt: str,
        count: int | None,
        given: Parameters,
        listen: Listener = ignore_event,
    ) -> tuple[GenerateImages, GenerationRequest]:
        _check_names(given, Parameters)
        number = 1 if count is None else count
        mask = given.get("mask")
        request = build_request(
            self._runtime.settings,
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
        maker = self._maker(given.get("backend"), given, count=number, listen=listen)
        return maker, request

    def _maker(
        self,
        name: str | None,
        given: CommonParameters,
        *,
        count: int,
        listen: Listener,
        media_type: str | None = None,
    ) -> GenerateImages:
        self._check_open()
        return build_generate(
            self._runtime,
            name,
            output=msgspec.structs.replace(_wish(given), format=media_type),
            count=count,
            live=given.get("live", False),
            listen=listen,
        )

    def _read(self, source: ImageSource) -> ReferenceImage:
        if isinstance(source, bytes):
            return build_reference(source, name="bytes")
        return read_reference(fspath(source), environment=self._runtime.environment)

    def _check_open(self) -> None:
        if self._runtime.closed:
            raise InvalidRequest("This studio is closed.", hint="Open another one.")


def _exact(amount: float | str | Decimal | None) -> Decimal | None:
    try:
        return None if amount is None else Decimal(str(amount))
    except InvalidOperation:
        raise InvalidRequest(
            f"max_cost is {amount!r}, and should be dollars."
        ) from None


def _wish(given: CommonParameters) -> OutputOptions:
    output = given.get("output")
    return OutputOptions(
        path=None if output is None else fspath(output),
        sidecar=given.get("sidecar", True),
        metadata=given.get("metadata", True),
        cloud=given.get("cloud", True),
    )


def _check_names(given: CommonParameters, kind: type[CommonParameters]) -> None:
    """Python checks no names that are handed on."""
    unknown = sorted(given.keys() - kind.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")


@contextmanager
def _shown(given: CommonParameters) -> Generator[Listener]:
    """Yield who listens: whom the caller named, and what a notebook shows."""
    listen = isolate_listener(given.get("listen", ignore_event))
    progress = build_notebook_progress() if given.get("progress", True) else None
    if progress is None:
        yield listen
        return

    def both(event: Event) -> None:
        listen(event)
        progress(event)

    try:
        yield both
    finally:
        progress.close()


def _several(**given: str | Sequence[str] | None) -> Iterable[Axis]:
    for name, value in given.items():
        if value is not None:
            yield Axis(name=name, values=_values(value))


def _whole_numbers(**given: "int | str | Iterable[int] | None") -> Iterable[Axis]:
    for name, value in given.items():
        if isinstance(value, str):
            yield parse_numbers(name, value)
        elif isinstance(value, Iterable):
            yield Axis(name=name, values=tuple(value))
        elif value is not None:
            yield Axis(name=name, values=(value,))


def _sizes(given: str | tuple[int, int] | Size | list[str] | None) -> Iterable[Axis]:
    if isinstance(given, tuple):
        given = Size(*given)
    if given is not None:
        several = given if isinstance(given, list) else [given]
        yield Axis(name="size", values=tuple(map(str, several)))


def _values(given: object) -> tuple[object, ...]:
    if isinstance(given, list | tuple):
        return tuple(cast("Sequence[object]", given))
    return (given,)

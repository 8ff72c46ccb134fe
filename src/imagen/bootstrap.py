"""The composition root: the one place that knows both needs and means.

One function per use case. Each builds only what that use case needs, and imports an
adapter only when it is about to build it.
"""

import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from os.path import lexists
from pathlib import Path
from typing import BinaryIO

import msgspec

from imagen.adapters.clock import SystemClock
from imagen.adapters.dice import draw
from imagen.adapters.storage.local import LocalStorage
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.events import Event, Listener, unshaken
from imagen.domain.fit import Fit
from imagen.domain.naming import LONGEST_NAME, Destination
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.ports.backend import BackendContext, CloseableBackend, ImageBackend
from imagen.ports.storage import Storage
from imagen.registry import find_adapter
from imagen.settings.environment import Environment
from imagen.settings.load import load_settings
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.check import CheckBackends
from imagen.usecases.generate import GenerateImages
from imagen.usecases.store import StoreImage

STDOUT = "-"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Where the images of one request go, and what goes with them.

    Attributes:
        output: A file, a folder, `-` for `stream`, or None for the naming template.
        sidecar: False leaves the sidecars out, whatever the config says.
        metadata: False leaves the note inside the files out, likewise.
        stream: What `-` writes to.
    """

    output: str | None = None
    sidecar: bool = True
    metadata: bool = True
    stream: BinaryIO | None = None


def load(config: str | None, *, environment: Environment) -> Settings:
    """Read the config that was named, or the one that is looked for.

    Raises:
        Misconfigured: it is not there, or something in it is wrong.
    """
    if sys.platform == "win32":
        raise Misconfigured(
            "imagen runs on Linux and macOS; Windows is not supported yet.",
            hint="Inside the Windows Subsystem for Linux it works.",
        )
    return load_settings(config, environment=environment, adapter_of=find_adapter)


def build_request(
    settings: Settings,
    prompt: str,
    *,
    negative: str = "",
    style: str | None = None,
    size: str | tuple[int, int] | Size | None = None,
    seed: int = 0,
    steps: int = 0,
    model: str | None = None,
    count: int = 1,
    options: Mapping[str, object] | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> GenerationRequest:
    """Turn words into a request; after this there are only values.

    Raises:
        InvalidRequest: one of them makes no sense.
    """
    return GenerationRequest(
        prompt=prompt,
        negative=negative,
        style=_style(settings, style),
        size=_size(size),
        seed=seed,
        steps=steps,
        model=model,
        count=count,
        options=options or {},
        fit=_fit(fit),
        timeout=timeout,
        strict=strict,
    )


def find_backend(settings: Settings, name: str | None) -> BackendSettings:
    """Return what the config says of the backend, or of the default one.

    Raises:
        InvalidRequest: there is no instance of that name.
    """
    chosen = settings.default_backend if name is None else name
    if chosen not in settings.backends:
        raise InvalidRequest(
            f"There is no backend called {_shown(chosen)}.",
            hint=f"There are: {', '.join(settings.backends)}.",
        )
    return settings.backends[chosen]


def build_backend(chosen: BackendSettings, *, environment: Environment) -> ImageBackend:
    """Hand the adapter its own options and its own secrets, nothing more."""
    adapter = find_adapter(chosen.instance.adapter)
    context = BackendContext(
        name=chosen.instance.name,
        secrets=environment.secrets_for(chosen.options),
        clock=SystemClock(),
    )
    return adapter.create(chosen.options, context)


@contextmanager
def closing(backend: ImageBackend) -> Generator[None]:
    """Close the backend afterwards, if it holds something open."""
    try:
        yield
    finally:
        if isinstance(backend, CloseableBackend):
            backend.close()


def build_generate(
    settings: Settings,
    chosen: BackendSettings,
    backend: ImageBackend,
    *,
    environment: Environment,
    wish: Wish,
    count: int,
    listen: Listener,
) -> GenerateImages:
    """Wire the use case that makes images.

    Raises:
        InvalidRequest: the images cannot go where they are wished.
    """
    storage, destination = _where(settings, wish, count, environment)
    sidecar = settings.output.sidecar and wish.sidecar and wish.output != STDOUT
    return GenerateImages(
        instance=chosen.instance,
        backend=backend,
        store=StoreImage(
            storage=storage,
            rescues=_rescues(environment),
            editor=_LateEditor(),
            destination=destination,
            sidecar=sidecar,
            metadata=settings.output.metadata and wish.metadata,
        ),
        clock=SystemClock(),
        draw=draw,
        caller=environment.caller,
        listen=unshaken(listen),
    )


def build_check() -> CheckBackends:
    """Wire the use case that looks whether backends would work."""
    return CheckBackends(clock=SystemClock())


def with_log(listen: Listener, *, as_json: bool, colours: bool) -> Listener:
    """Return a listener that logs every event before it passes it on."""
    from imagen.adapters.log import LogListener  # noqa: PLC0415 - costs structlog

    log = LogListener(as_json=as_json, colours=colours)

    def both(event: Event) -> None:
        log(event)
        listen(event)

    return both


def _style(settings: Settings, name: str | None) -> Style | None:
    if name is None:
        return None
    if name not in settings.styles:
        known = ", ".join(settings.styles) or "none; the config has no styles"
        raise InvalidRequest(
            f"There is no style called {_shown(name)}.", hint=f"There are: {known}."
        )
    return settings.styles[name]


def _shown(name: str) -> str:
    from imagen.settings.secrets import shown  # noqa: PLC0415 - only after a mistake

    return shown(name)


def _size(size: str | tuple[int, int] | Size | None) -> Size | None:
    match size:
        case str():
            return Size.parse(size)
        case (width, height):
            return Size(width, height)
        case Size() | None:
            return size
        case _:  # pyright: ignore[reportUnnecessaryComparison] - Python checks no types
            raise InvalidRequest(
                f"{size!r} is not a size.", hint="Give '1536x768' or (1536, 768)."
            )


def _fit(fit: str | None) -> Fit | None:
    try:
        return None if fit is None else Fit(fit)
    except ValueError:
        raise InvalidRequest(
            f"{fit!r} is no way to fit an image.",
            hint=f"There are: {', '.join(Fit)}.",
        ) from None


def _where(
    settings: Settings, wish: Wish, count: int, environment: Environment
) -> tuple[Storage, Destination]:
    template = settings.output.naming
    if wish.output is None:
        return LocalStorage(settings.output.dir), Destination(template=template)
    if wish.output == STDOUT:
        return _stream(wish, count), Destination(template=template)
    if not wish.output:
        raise InvalidRequest("The output path is empty.")
    if "\0" in wish.output:
        raise InvalidRequest("The output path contains a NUL character.")
    path = environment.home(Path(wish.output))
    if wish.output.endswith("/") or _is_folder(path):
        folder, destination = path, Destination(template=template)
    else:
        folder, destination = path.parent, Destination(name=path.name)
    _check_folder(folder)
    return LocalStorage(folder), destination


def _check_folder(folder: Path) -> None:
    """Find out before anything is sent that there can be no such folder."""
    long = [part for part in folder.parts if len(os.fsencode(part)) > LONGEST_NAME]
    if long:
        raise InvalidRequest(f"The folder name {long[0][:40]!r}... is too long.")
    there = next((each for each in (folder, *folder.parents) if lexists(each)), None)
    if there is not None and not _is_folder(there):
        raise InvalidRequest(
            f"{there} is no folder, so nothing can be stored in it.",
            hint="Choose another output.",
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, which the destination refuses in words
        return False


def _stream(wish: Wish, count: int) -> Storage:
    from imagen.adapters.storage.stream import StreamStorage  # noqa: PLC0415 - rare

    if wish.stream is None:
        raise InvalidRequest(
            "There is no standard output to write to here.",
            hint="The image's `bytes` has what `-` would write.",
        )
    if count != 1:
        raise InvalidRequest(
            f"{count} images cannot go to standard output.",
            hint="Only one can; give a folder instead.",
        )
    return StreamStorage(wish.stream, called=STDOUT)


def _rescues(environment: Environment) -> tuple[Storage, ...]:
    def rescued() -> Path:
        folder = environment.data_dir / "rescued"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def temporary() -> Path:
        from tempfile import mkdtemp  # noqa: PLC0415 - the last resort

        return Path(mkdtemp(prefix="imagen-rescued-"))

    return _LateStorage(rescued), _LateStorage(temporary)


class _LateStorage:
    """A folder that is found out when something has to go there."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        replace: bool = False,
    ) -> str:
        return LocalStorage(self._folder()).save(
            name, content, media_type=media_type, sidecar=sidecar, replace=replace
        )

    def read(self, name: str) -> bytes | None:
        return LocalStorage(self._folder()).read(name)


class _LateEditor:
    """Redraws with Pillow, which is imported when there is something to redraw."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        from imagen.adapters.images import PillowEditor  # noqa: PLC0415 - costs Pillow

        return PillowEditor().redraw(content, media_type=media_type, fit=fit, size=size)

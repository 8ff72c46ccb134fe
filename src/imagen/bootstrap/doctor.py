"""Check everything that imagen needs on this machine, at no cost."""

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import partial
from importlib.util import find_spec
from os import R_OK, W_OK, access
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from imagen.adapters.system.installation import format_install_command
from imagen.adapters.system.private_files import check_locks
from imagen.bootstrap.output import make_absolute
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import ImagenError
from imagen.domain.suggestion import format_variable
from imagen.settings.load import find_config
from imagen.settings.model import MOCK
from imagen.version import __version__

if TYPE_CHECKING:
    from imagen.engine.cancellation import Cancellation
    from imagen.usecases.check import CheckedBackend

State: TypeAlias = Literal["ready", "warning", "problem"]

LOW_SPACE, LEAST_SPACE = 1_000_000_000, 100_000_000
"""Free bytes of a disk below which there is a warning, and a problem."""
_EXTRAS = {
    "c2pa": "c2pa",
    "keyring": "keyring",
    "notebook": "IPython",
    "serve": "litestar",
    "show": "textual_image",
    "socks": "python_socks",
}
"""The module by which each extra is recognized."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked.

    Attributes:
        name: What was checked, in a few words.
        note: What was found.
        hint: What to do about it; "" if nothing is to be done.
    """

    name: str
    state: State = "ready"
    note: str = ""
    hint: str = ""


def diagnose(
    runtime: Runtime,
    config: str | None,
    *,
    cancellation: "Cancellation",
    on_terminal: bool,
) -> Iterator[Diagnosis]:
    """Yield the result of every check, in the order of the reader's interest.

    Args:
        runtime: A runtime whose config is not read yet.
        config: The path of the config that was chosen; None for the usual one.
        on_terminal: Whether stdout is a terminal, which may show pictures.
    """
    yield Diagnosis(
        name="imagen", note=f"{__version__}, Python {platform.python_version()}"
    )
    readable = True
    for found in _isolate("config", partial(_check_config, runtime, config)):
        readable = readable and found.state != "problem"
        yield found
    checks: dict[str, Callable[[], Iterator[Diagnosis]]] = {}
    if readable:
        checks |= {
            "backends": partial(_check_backends, runtime, cancellation),
            "models": partial(_check_models, runtime),
            "prices": partial(_check_prices, runtime),
            "image folder": partial(_check_image_folder, runtime),
        }
    checks |= {
        "data folder": partial(_check_data_folder, runtime),
        "account": partial(_check_account, runtime),
    }
    if readable:
        checks["supabase"] = partial(_check_supabase, runtime)
    checks |= {
        "terminal": partial(_check_terminal, runtime, on_terminal=on_terminal),
        "extras": _check_extras,
    }
    for name, check in checks.items():
        yield from _isolate(name, check)


def describe_space(folder: Path, free: int) -> Diagnosis:
    """Return the diagnosis of a disk with so many free bytes."""
    state: State = "ready"
    hint = ""
    if free < LOW_SPACE:
        state = "warning" if free >= LEAST_SPACE else "problem"
        hint = "Free some space: an image that cannot be stored is kept elsewhere."
    note = f"{free / 1e9:.1f} GB free at {folder}"
    return Diagnosis(name="disk space", state=state, note=note, hint=hint)


def describe_locks(folder: Path, check: Callable[[Path], object]) -> Diagnosis:
    """Return whether files in a folder can be locked, as the check finds."""
    try:
        check(folder)
    except OSError as error:
        return Diagnosis(
            name="locks",
            state="problem",
            note=f"files in {folder} cannot be locked: {error.strerror or error}",
            hint="Set IMAGEN_DATA_DIR to a folder on a local disk.",
        )
    return Diagnosis(name="locks", note="supported by the file system")


def _isolate(
    name: str, check: Callable[[], Iterator[Diagnosis]]
) -> Iterator[Diagnosis]:
    """Yield the results of a check; an error is its last result."""
    try:
        yield from check()
    except ImagenError as error:
        yield Diagnosis(name=name, state="problem", note=error.message, hint=error.hint)
    except OSError as error:
        note = f"{error.filename or 'a file'}: {error.strerror or error}"
        yield Diagnosis(name=name, state="problem", note=note)


def _check_config(runtime: Runtime, config: str | None) -> Iterator[Diagnosis]:
    path, _ = find_config(config, runtime.environment)
    settings = runtime.settings
    if settings.path is None:
        yield Diagnosis(
            name="config",
            state="warning",
            note=f"{path} does not exist; the only backend is the free mock",
            hint="Run `imagen setup`.",
        )
        return
    count = len(settings.backends)
    default = settings.default_backend
    note = f"{path}, {count} {'backend' if count == 1 else 'backends'}"
    if default is None:
        hint = "Set default_backend, or name one with --backend."
        note += ", no default"
        yield Diagnosis(name="config", state="warning", note=note, hint=hint)
    else:
        yield Diagnosis(name="config", note=f"{note}, default {default}")


def _check_backends(
    runtime: Runtime, cancellation: "Cancellation"
) -> Iterator[Diagnosis]:
    from imagen.engine.thread_pool import run_tasks  # noqa: PLC0415
    from imagen.usecases.check import check_backend  # noqa: PLC0415

    names = list(runtime.settings.backends)
    tasks = [
        partial(
            check_backend,
            runtime.settings.backends[name].instance,
            partial(runtime.build_backend, name),
            clock=runtime.clock,
        )
        for name in names
    ]
    reports = run_tasks(
        [(tasks, len(tasks))], cancellation=cancellation, clock=runtime.clock
    )
    for report in sorted(reports, key=lambda report: names.index(report.name)):
        about = f"key of {report.name}"
        keys = list(_isolate(about, partial(_check_keys, runtime, report)))
        yield from keys
        # The mock is part of imagen: it is worth a line only if it fails. A backend
        # whose key is missing has failed for that reason.
        if any(each.state != "ready" for each in keys) or (
            report.name == MOCK and report.ready
        ):
            continue
        yield _describe_backend(report)


def _check_keys(runtime: Runtime, report: "CheckedBackend") -> Iterator[Diagnosis]:
    """Yield whether the variables for the keys of a backend are set."""
    options = runtime.settings.backends[report.name].options
    secrets = runtime.environment.secrets_for(options)
    about = f"key of {report.name}"
    for option, variable in _list_keys(options):
        shown = format_variable(variable)
        if secrets.get(option):
            yield Diagnosis(name=about, note=f"{shown} is set")
        elif any(shown in each.note for each in report.findings if not each.ready):
            hint = "Set it to your key, or name an entry of your keyring in its place."
            note = f"{shown} is not set"
            yield Diagnosis(name=about, state="problem", note=note, hint=hint)
        else:
            yield Diagnosis(name=about, note=f"{shown} is not set, and not needed")


def _list_keys(options: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """Yield each option that names a variable for a key, and the variable."""
    for field in msgspec.structs.fields(options):
        value: object = getattr(options, field.name)
        if field.name.endswith("_env") and isinstance(value, str) and value:
            yield field.name, value


def _describe_backend(report: "CheckedBackend") -> Diagnosis:
    about = f"backend {report.name}"
    if report.ready:
        note = next((each.note for each in report.findings if each.note), "")
        return Diagnosis(name=about, note=note or "ready")
    wrong = [each for each in report.findings if not each.ready]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    note = f"{wrong[0].name}: {wrong[0].note}{more}"
    hint = f"See `imagen backends check {report.name}`." if more else ""
    return Diagnosis(name=about, state="problem", note=note, hint=hint)


def _check_models(runtime: Runtime) -> Iterator[Diagnosis]:
    from imagen.adapters.system.shutdowns import look_up_shutdown  # noqa: PLC0415

    today = runtime.clock.now().astimezone(UTC).date()
    ends = False
    for name, provider, model in _list_default_models(runtime):
        end = look_up_shutdown(provider, model)
        if end is not None and end.is_near(today=today):
            ends = True
            yield Diagnosis(
                name=f"model of {name}",
                state="problem" if end.day <= today else "warning",
                note=end.describe(model, today=today).removesuffix("."),
                hint="Change `model` in the config; `imagen models` lists others.",
            )
    if not ends:
        yield Diagnosis(name="models", note="none ends within 60 days")


def _check_prices(runtime: Runtime) -> Iterator[Diagnosis]:
    from imagen.adapters.system.prices import look_up_price  # noqa: PLC0415
    from imagen.usecases.prices import QUARTER  # noqa: PLC0415

    today = runtime.clock.now().astimezone(UTC).date()
    old = {
        model: since
        for name, provider, model in _list_default_models(runtime)
        if runtime.settings.backends[name].instance.price is None
        if (price := look_up_price(provider, model, {})) and (since := price.since)
        if (today - since).days > QUARTER
    }
    if not old:
        yield Diagnosis(name="prices", note="checked within the last quarter")
    for model, since in old.items():
        yield Diagnosis(
            name="prices",
            state="warning",
            note=f"that of {model} is from {since}",
            hint="Check the vendor's page, then set the backend's `price`.",
        )


def _list_default_models(runtime: Runtime) -> Iterator[tuple[str, str, str]]:
    """Yield backend, provider and default model, as far as they are known offline."""
    for name in runtime.settings.backends:
        try:
            known = runtime.get_backend(name).capabilities()
        except ImagenError:
            continue  # the check of the backend has reported it
        if known.provider:
            yield name, known.provider, known.model


def _check_image_folder(runtime: Runtime) -> Iterator[Diagnosis]:
    folder = Path(make_absolute(runtime.settings.output.dir))
    yield _describe_folder("image folder", folder)
    yield describe_space(folder, shutil.disk_usage(_find_existing(folder)).free)


def _check_data_folder(runtime: Runtime) -> Iterator[Diagnosis]:
    environment = runtime.environment
    folder = environment.data_dir
    if problem := environment.temporary_data:
        hint = "Set IMAGEN_DATA_DIR to a folder that is kept."
        yield Diagnosis(name="data folder", state="warning", note=problem, hint=hint)
    else:
        yield _describe_folder("data folder", folder)
    if folder.is_dir() and access(folder, W_OK):
        yield describe_locks(folder, check_locks)
    space = describe_space(folder, shutil.disk_usage(_find_existing(folder)).free)
    if space.state != "ready":
        yield space


def _describe_folder(name: str, folder: Path) -> Diagnosis:
    existing = _find_existing(folder)
    if not (existing.is_dir() and access(existing, W_OK)):
        hint = "Change its permissions, or choose another folder."
        note = f"{folder} cannot be {'written' if folder.exists() else 'created'}"
        return Diagnosis(name=name, state="problem", note=note, hint=hint)
    return Diagnosis(name=name, note=str(folder))


def _find_existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _check_account(runtime: Runtime) -> Iterator[Diagnosis]:
    from imagen.adapters.database.connection import FILE  # noqa: PLC0415
    from imagen.bootstrap.library import open_usage  # noqa: PLC0415

    path = runtime.environment.data_dir / FILE
    if not path.exists():
        yield Diagnosis(name="account", note="no records yet")
        return
    if not access(path, R_OK):
        yield Diagnosis(name="account", state="problem", note=f"{path} cannot be read")
        return
    stores = runtime.stores
    jobs = [job for job in stores.journal.list_open() if not job.live]
    with open_usage(runtime, local=True) as usage:
        calls = sum(group.calls for group in usage.run(()).groups)
        future = usage.future(runtime.clock.now().astimezone(UTC).date())
    yield Diagnosis(
        name="account", note=f"{calls} paid {'call' if calls == 1 else 'calls'}"
    )
    if jobs:
        yield Diagnosis(
            name="open jobs",
            state="warning",
            note=f"{len(jobs)} unfinished, which may be billed",
            hint="`imagen resume` finishes them; `imagen jobs` lists them.",
        )
    if future is not None:
        yield Diagnosis(
            name="clock",
            state="warning",
            note=f"the costs of {future.calls} calls are dated in the future",
            hint="Check the clock of this machine; `imagen usage` lists them.",
        )
    queues = {"usage rows": stores.usage_queue, "images": stores.image_queue}
    for what, queue in queues.items():
        status = queue.status()
        failed = f"{what}: {len(status.failed)} rejected" if status.failed else ""
        waiting = f"{what}: {status.pending} pending" if status.pending else ""
        # Without Supabase, nothing is meant to be uploaded.
        if (failed or waiting) and not runtime.environment.missing_for_supabase:
            yield Diagnosis(
                name="uploads",
                state="warning",
                note=", ".join(filter(None, (waiting, failed))),
                hint="Run `imagen sync`.",
            )


def _check_supabase(runtime: Runtime) -> Iterator[Diagnosis]:
    from imagen.bootstrap.cloud import check_supabase  # noqa: PLC0415

    for found in check_supabase(runtime):
        note = ": ".join(filter(None, (found.name, found.note)))
        if found.name == "not used":
            note = "not used"
        state: State = "ready" if found.ready else "problem"
        yield Diagnosis(name="supabase", state=state, note=note)


def _check_terminal(runtime: Runtime, *, on_terminal: bool) -> Iterator[Diagnosis]:
    environment = runtime.environment
    if not on_terminal or environment.terminal["TERM"] in {"", "dumb"}:
        yield Diagnosis(name="terminal", note="stdout is not a terminal for pictures")
    else:
        from imagen.bootstrap.display import build_viewer  # noqa: PLC0415 - costs Pillow

        viewer = build_viewer(runtime, sys.stdout)
        try:
            method = viewer.method
        finally:
            viewer.close()
        words = "half blocks" if method == "blocks" else method
        yield Diagnosis(name="terminal", note=f"pictures are drawn with {words}")
    if not environment.tmux:
        yield Diagnosis(name="preview", note="not in tmux")
    elif shutil.which("tmux") is None:
        yield Diagnosis(
            name="preview",
            state="warning",
            note="$TMUX is set, and the program tmux is not found",
            hint="Install tmux, or set `output: {preview: off}`.",
        )
    else:
        yield Diagnosis(name="preview", note="a tmux window for each image")


def _check_extras() -> Iterator[Diagnosis]:
    missing = [name for name, module in _EXTRAS.items() if find_spec(module) is None]
    installed = [name for name in _EXTRAS if name not in missing]
    note = f"installed: {', '.join(installed) or 'none'}"
    if missing:
        note += f"; not installed: {', '.join(missing)}"
    hint = f"To install one: {format_install_command(missing[0])}" if missing else ""
    yield Diagnosis(name="extras", note=note, hint=hint)

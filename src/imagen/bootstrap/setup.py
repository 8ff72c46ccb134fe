"""Find the backends that a user has, and write them into the config file."""

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import ImagenError
from imagen.domain.instance import Instance
from imagen.ports.adapter import Adapter
from imagen.ports.backend import Readiness
from imagen.settings.environment import KEYRING
from imagen.settings.model import MOCK, BackendSettings, Settings
from imagen.usecases.check import CheckedBackend, check_backend

if TYPE_CHECKING:
    from imagen.engine.cancellation import Cancellation

URL_OPTION = "base_url"
_TYPED_KEY = "IMAGEN_SETUP_KEY"
"""The variable that holds a key while it is tested; only in memory."""
HOST = "localhost"
_LOOPBACK = {HOST, "127.0.0.1", "::1"}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a backend may be, which is tried without cost.

    Attributes:
        adapter: The adapter that would use it.
        words: The place for display: a URL, a variable with `$`, or a module.
        options: The options by which the adapter uses it.
        certain: Whether the user has it, whether or not the check succeeds.
    """

    adapter: str
    words: str
    options: Mapping[str, object] = {}
    certain: bool = False


class FoundBackend(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that the user has.

    Attributes:
        name: A name for it that the config does not use yet.
        words: The place for display.
        keys: The keys of its block in the config.
        preset: Those of the keys that were chosen among several.
        findings: The results of its check.
    """

    name: str
    adapter: str
    words: str
    keys: Mapping[str, object]
    preset: Mapping[str, object] = {}
    findings: tuple[Readiness, ...]

    @property
    def ready(self) -> bool:
        """True if all findings are positive."""
        return all(finding.ready for finding in self.findings)

    @property
    def text(self) -> str:
        """The place and what is there, such as a version."""
        found = "".join(each.note for each in self.findings[:1] if each.ready)
        place = "" if self.words in found else self.words
        return ", ".join(filter(None, [place, found]))

    @property
    def details(self) -> list[str]:
        """The options that were chosen, and the first things that are missing."""
        chosen = [f"{key}: {value}" for key, value in self.preset.items()]
        missing = [each for each in self.findings if not each.ready]
        problems = [f"{each.name}: {each.note}" for each in missing[:_MOST_NOTES]]
        return [*chosen, *problems]


_MOST_NOTES = 2


def list_sources(
    runtime: Runtime, adapters: Mapping[str, Adapter[Any]]
) -> tuple[list[Source], list[Source]]:
    """Return the places to try, and those that are certainly empty.

    The places are those that the adapters name: ports of this machine, variables for
    keys, and modules. Those that the config uses already are left out.
    """
    there: list[Source] = []
    missing: list[Source] = []
    for name, adapter in adapters.items():
        if urls := list_urls(adapter):
            # A server of the user's own, which may be used without a key.
            there += [source_of_url(name, url) for url in urls]
        elif option := find_key_option(adapter):
            key, variables = option
            is_set = [each for each in variables if runtime.environment.has(each)]
            chosen = (is_set or variables)[0]
            source = Source(
                adapter=name, words=f"${chosen}", options={key: chosen}, certain=True
            )
            (there if is_set else missing).append(source)
        if adapter.modules:
            words = " and ".join(adapter.modules)
            source = Source(adapter=name, words=words, certain=True)
            is_there = all(map(find_spec, adapter.modules))
            (there if is_there else missing).append(source)
    used = [each.options for each in runtime.settings.backends.values()]
    unused = [each for each in there if not _is_used(each, adapters, used)]
    return unused, missing


def list_urls(adapter: Adapter[Any]) -> list[str]:
    """Return the addresses on this machine at which its server may be.

    The default of `base_url`, if that is on this machine, and the usual ports.
    """
    defaults = [
        str(field.default)
        for field in msgspec.structs.fields(adapter.options)
        if field.encode_name == URL_OPTION
    ]
    own = [url for url in defaults if urlsplit(url).hostname in _LOOPBACK]
    return list(dict.fromkeys([*own, *(f"http://{HOST}:{n}" for n in adapter.ports)]))


def find_key_option(adapter: Adapter[Any]) -> tuple[str, list[str]] | None:
    """Return the option that names the variable of the key, and the usual variables.

    None if the adapter needs no key.
    """
    from imagen.settings.reading import list_examples  # noqa: PLC0415

    for field in msgspec.structs.fields(adapter.options):
        if field.encode_name.endswith("_env") and isinstance(field.default, str):
            names = [field.default, *map(str, list_examples(field.type))]
            return field.encode_name, list(dict.fromkeys(filter(None, names)))
    return None


def source_of_url(adapter: str, url: str, *, certain: bool = False) -> Source:
    """Return the place of a server with this URL."""
    return Source(
        adapter=adapter, words=url, options={URL_OPTION: url}, certain=certain
    )


def check_sources(
    runtime: Runtime,
    sources: Sequence[Source],
    adapters: Mapping[str, Adapter[Any]],
    *,
    taken: Iterable[str] = (),
    cancellation: "Cancellation",
) -> list[FoundBackend]:
    """Try all places at once; return the backends there, in the order of the places.

    Args:
        taken: Names that are in use, besides those of the config.
    """
    from imagen.engine.thread_pool import run_tasks  # noqa: PLC0415 - threads

    def check(number: int) -> tuple[int, CheckedBackend | None, Mapping[str, object]]:
        source = sources[number]
        return number, *_check_source(runtime, source, adapters[source.adapter])

    tasks = [partial(check, number) for number in range(len(sources))]
    outcomes = run_tasks(
        [(tasks, len(tasks))], cancellation=cancellation, clock=runtime.clock
    )
    names = {*runtime.settings.backends, *taken}
    found: list[FoundBackend] = []
    for number, report, preset in sorted(outcomes, key=lambda outcome: outcome[0]):
        if report is not None:
            source = sources[number]
            name = _choose_name(source.adapter, names)
            names.add(name)
            found.append(
                FoundBackend(
                    name=name,
                    adapter=source.adapter,
                    words=source.words,
                    keys={"adapter": source.adapter, **source.options, **preset},
                    preset=preset,
                    findings=report.findings,
                )
            )
    return found


def check_typed_key(
    runtime: Runtime,
    name: str,
    adapter: Adapter[Any],
    *,
    key: str,
    taken: Iterable[str],
    option: str,
    cancellation: "Cancellation",
) -> FoundBackend | None:
    """Try a key that was typed; it is stored nowhere yet.

    Returns:
        The backend, whose block names the entry of the keyring that is to hold the key;
        None after a cancellation.
    """
    settings = runtime.settings
    environment = runtime.environment.with_variable(_TYPED_KEY, key)
    trial = Runtime(environment, settings=settings)
    entry = f"{KEYRING}imagen/{name}"
    source = Source(
        adapter=name, words=entry, options={option: _TYPED_KEY}, certain=True
    )
    found = check_sources(
        trial, [source], {name: adapter}, taken=taken, cancellation=cancellation
    )
    if not found:
        return None
    keys = {**found[0].keys, option: entry}
    return msgspec.structs.replace(found[0], keys=keys)


def write_config(
    path: Path,
    chosen: Sequence[FoundBackend],
    *,
    default: str,
    folder: str,
    adapters: Mapping[str, Adapter[Any]],
) -> None:
    """Write a new config file with these backends, and a comment for every key.

    Raises:
        Misconfigured: the file exists, or it cannot be written.
    """
    from imagen.adapters.system.config_file import create_config  # noqa: PLC0415
    from imagen.settings.sample import sample_config  # noqa: PLC0415

    text = sample_config(
        adapters,
        backends={MOCK: {"adapter": MOCK}, **{each.name: each.keys for each in chosen}},
        default=default,
        folder=folder,
    )
    create_config(path, text)


def sets_default(path: Path) -> bool:
    """Return whether a config file names its default backend."""
    from imagen.settings.document import parse  # noqa: PLC0415

    root = parse(path.read_bytes(), source=str(path)).root
    return root.get("default_backend") is not None


def extend_config(
    runtime: Runtime,
    path: Path,
    chosen: Sequence[FoundBackend],
    *,
    default: str,
    adapters: Mapping[str, Adapter[Any]],
) -> None:
    """Add backends to the config file; what the user wrote stays as it is.

    Args:
        default: The default backend to set, if the file sets none; "" for none.

    Raises:
        Misconfigured: the file cannot be extended or written.
    """
    from imagen.adapters.system.config_file import replace_config  # noqa: PLC0415
    from imagen.settings.edit import add_to_config  # noqa: PLC0415
    from imagen.settings.sample import format_backend  # noqa: PLC0415

    before = runtime.settings
    previous = path.read_bytes()

    def means_the_same(changed: str) -> bool:
        try:
            after = _parse(runtime, changed, path)
        except ImagenError:
            return False
        added = {each.name: after.backends.get(each.name) for each in chosen}
        expected = msgspec.structs.replace(
            before,
            backends={**before.backends, **added},
            default_backend=default or after.default_backend,
        )
        return after == expected and all(added.values())

    block = [
        line
        for each in chosen
        for line in format_backend(each.name, adapters[each.adapter], each.keys)
    ]
    text = add_to_config(
        previous.decode("utf-8-sig"),
        block=block,
        default=f"default_backend: {default}" if default else "",
        check=means_the_same,
    )
    replace_config(path, text, previous=previous)


def _parse(runtime: Runtime, text: str, path: Path) -> Settings:
    from imagen.registry import find_adapter  # noqa: PLC0415
    from imagen.settings.document import parse  # noqa: PLC0415
    from imagen.settings.validate import validate  # noqa: PLC0415

    return validate(
        parse(text.encode(), source=str(path)),
        adapter_of=find_adapter,
        expand=runtime.environment.expand_path,
        path=path,
    )


def _check_source(
    runtime: Runtime, source: Source, adapter: Adapter[Any]
) -> tuple[CheckedBackend | None, Mapping[str, object]]:
    """Return the check of the first preset that is ready, and that preset.

    If none is, that of the first preset; None if nothing is there.
    """
    first: tuple[CheckedBackend, Mapping[str, object]] | None = None
    for preset in adapter.presets or ({},):
        options = {**source.options, **preset}
        report = _check(runtime, source.adapter, adapter, options)
        if report.ready:
            return report, preset
        # The first finding is about the server or the account itself.
        is_there = source.certain or report.findings[0].ready
        first = first or ((report, preset) if is_there else None)
        if not report.findings[0].ready:
            break
    return first or (None, {})


def _check(
    runtime: Runtime, name: str, adapter: Adapter[Any], options: Mapping[str, object]
) -> CheckedBackend:
    try:
        made = msgspec.convert(options, adapter.options)
    except msgspec.ValidationError as error:
        # An option that has no default, or a URL of another form.
        wrong = Readiness(name="options", ready=False, note=str(error))
        return CheckedBackend(name=name, adapter=name, findings=(wrong,))
    instance = Instance(name=name, adapter=name)
    settings = msgspec.structs.replace(
        runtime.settings,
        backends={name: BackendSettings(instance=instance, options=made)},
    )
    trial = Runtime(runtime.environment, settings=settings)
    build = partial(trial.build_backend, name)
    return check_backend(instance, build, clock=runtime.clock)


def _is_used(
    source: Source,
    adapters: Mapping[str, Adapter[Any]],
    used: Iterable[msgspec.Struct],
) -> bool:
    """Return whether a backend of the config has the address and key of this place."""
    try:
        options = msgspec.convert(source.options, adapters[source.adapter].options)
    except msgspec.ValidationError:
        return False
    return any(
        type(each) is type(options) and _identify(each) == _identify(options)
        for each in used
    )


def _identify(options: msgspec.Struct) -> list[str]:
    """Return the address and the variables of keys."""
    values = msgspec.structs.asdict(options).items()
    identity = [
        str(value).rstrip("/")
        for name, value in values
        if name == URL_OPTION or name.endswith("_env")
    ]
    return [each.replace("//127.0.0.1:", f"//{HOST}:") for each in identity]


def _choose_name(adapter: str, taken: Container[str]) -> str:
    names = (adapter if n == 1 else f"{adapter}-{n}" for n in count(1))
    return next(name for name in names if name not in taken)

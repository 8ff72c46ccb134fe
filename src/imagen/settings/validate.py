"""Convert a parsed config file to settings; all errors are reported together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from imagen.domain.errors import ImagenError, Misconfigured
from imagen.ports.adapter import Adapter
from imagen.settings.model import (
    BUILT_IN_STYLES,
    MOCK,
    BackendBlock,
    BackendSettings,
    ConfigFile,
    Settings,
)
from imagen.settings.reading import Reader, suggest_choice
from imagen.settings.secrets import display_value
from imagen.settings.tree import ConfigProblem, Document, Node


class InvalidConfig(Misconfigured, code="invalid_config"):
    """The config file has errors; the message has a line for each.

    Attributes:
        problems: The errors, in the order of the file.
    """

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def validate(
    document: Document,
    *,
    adapter_of: Callable[[str], Adapter[Any]],
    expand: Callable[[str], Path] = Path,
    path: Path | None = None,
) -> Settings:
    """Return the settings that a document describes; `expand` is for paths.

    Raises:
        InvalidConfig: the document has errors; all of them are in it.
    """
    reader, root = Reader(document, expand=expand), document.root
    top = reader.read_entries(root)
    blocks = _read_names(reader, top.get("backends"))
    styles = _read_names(reader, top.get("styles"))
    reader.check_keys(top, ConfigFile)
    # The options of a backend depend on its adapter.
    others = {key: node for key, node in top.items() if key != "backends"}
    config = reader.read_fields(root, others, ConfigFile)
    backends = [_read_backend(reader, block, adapter_of) for block in blocks.values()]
    # The mock is always there, so that `--backend mock` works with any config.
    if MOCK not in blocks:
        mock = Node(path=("backends", MOCK), value={"adapter": Node(value=MOCK)})
        backends.append(_read_backend(reader, mock, adapter_of))
    names = list(dict.fromkeys([*blocks, MOCK]))
    for name, node in _entries(_entries(top.get("budget")).get("backends")).items():
        _check_backend(reader, node, name, names)
    default = top.get("default_backend")
    if default is not None and isinstance(default.value, str):
        _check_backend(reader, default, default.value, names)
    _check_models(reader, top.get("serve"), names)
    problems = reader.problems()
    if problems or config is None:
        raise InvalidConfig(problems)
    return Settings(
        default_backend=config.default_backend or _find_only_backend(blocks),
        output=config.output,
        owner_user_id=config.owner_user_id.lower(),
        backends={each.instance.name: each for each in backends if each is not None},
        styles={name: config.styles[name].to_style(name) for name in styles}
        | {each.name: each for each in BUILT_IN_STYLES if each.name not in styles},
        budgets=(*config.budget.to_budgets(), *config.serve.to_budgets()),
        usage=config.usage,
        history=config.history,
        serve=config.serve,
        path=path,
    )


def _find_only_backend(names: Iterable[str]) -> str | None:
    """Return the only backend besides mock, or mock; None if there are several."""
    others = [name for name in names if name != MOCK]
    if len(others) > 1:
        return None
    return others[0] if others else MOCK


def _read_names(reader: Reader, section: Node | None) -> Mapping[str, Node]:
    """Return the blocks of a section by their names, which are checked."""
    blocks = reader.read_entries(section or Node())
    for name, node in blocks.items():
        if not name.isprintable() or "/" in name or name != name.strip() or not name:
            reader.add_problem(
                node,
                "invalid name",
                "use letters, digits and signs other than /, no space at the ends",
            )
    return blocks


def _read_backend(
    reader: Reader, node: Node, adapter_of: Callable[[str], Adapter[Any]]
) -> BackendSettings | None:
    block = reader.read_entries(node)
    if not isinstance(node.value, Mapping | None):
        return None
    # The common keys are checked even if the adapter is unknown: all errors of a
    # file are reported together.
    common = reader.read_fields(node, block, BackendBlock)
    adapter = block.get("adapter")
    if adapter is None or not isinstance(adapter.value, str):
        return None
    try:
        options = adapter_of(adapter.value).options
    except ImagenError as error:
        reader.add_error(adapter, error)
        return None
    reader.check_keys(block, BackendBlock, options)
    shared = {field.encode_name for field in msgspec.structs.fields(BackendBlock)}
    own = {key: value for key, value in block.items() if key not in shared}
    made = reader.read_fields(node, own, options)
    if common is None or made is None:
        return None
    name = str(node.path[-1])
    return BackendSettings(instance=common.to_instance(name), options=made)


def _check_models(reader: Reader, serve: Node | None, names: Sequence[str]) -> None:
    """Check that the aliases of the server are new names of existing backends."""
    entries = _entries(serve)
    targets = dict(_entries(entries.get("models")))
    for alias, node in targets.items():
        if alias in names:
            reader.add_problem(node, "this is the name of a backend", "choose another")
    if (default := entries.get("default_model")) is not None:
        targets["default_model"] = default
    for node in targets.values():
        if isinstance(node.value, str):
            _check_backend(reader, node, node.value.partition("/")[0], names)


def _entries(node: Node | None) -> Mapping[str, Node]:
    value = None if node is None else node.value
    return value if isinstance(value, Mapping) else {}


def _check_backend(reader: Reader, node: Node, name: str, names: Sequence[str]) -> None:
    if name not in names:
        message = f"unknown backend {display_value(name)}"
        reader.add_problem(node, message, suggest_choice(name, names))

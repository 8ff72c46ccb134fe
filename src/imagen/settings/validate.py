"""Convert a parsed config file to settings; all errors are reported together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from imagen.domain.errors import ImagenError, InvalidRequest, Misconfigured
from imagen.domain.naming import Destination
from imagen.domain.seed import validate_seed
from imagen.domain.style import Style
from imagen.ports.adapter import Adapter
from imagen.settings.model import (
    MOCK,
    BackendBlock,
    BackendSettings,
    ConfigFile,
    HistorySettings,
    OutputSettings,
    OwnerKey,
    ServeSettings,
    Settings,
    StyleBlock,
)
from imagen.settings.money import BudgetSettings, to_micros
from imagen.settings.reading import Reader, StructT, suggest_choice
from imagen.settings.secrets import display_value
from imagen.settings.tree import ConfigProblem, Document, Entry, KeyPath, YamlNode


class InvalidConfig(Misconfigured):
    """The config file has errors; the message has a line for each.

    Attributes:
        problems: The errors, in the order of the file.
    """

    code = "invalid_config"

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def validate(
    document: Document,
    *,
    adapter_of: Callable[[str], Adapter[Any]],
    expand: Callable[[str], Path] = Path,
    styles: Iterable[Style] = (),
    path: Path | None = None,
) -> Settings:
    """Return the settings that a document describes.

    Args:
        document: The parsed file.
        adapter_of: Returns the adapter of that name, or raises Misconfigured.
        expand: Expands `~` and `$VAR` in a path.
        styles: The styles if the document has no `styles`.
        path: The path of the file.

    Raises:
        InvalidConfig: the document has errors; all of them are in it.
    """
    reader = Reader(document, expand=expand)
    return _Validation(reader, adapter_of).validate(document.root, styles, path)


class _Validation:
    def __init__(
        self, reader: Reader, adapter_of: Callable[[str], Adapter[Any]]
    ) -> None:
        self._reader = reader
        self._adapter_of = adapter_of

    def validate(
        self, root: YamlNode, styles: Iterable[Style], path: Path | None
    ) -> Settings:
        top = self._reader.read_entries(root, (), root.line)
        self._reader.check_keys(top, (), ConfigFile)
        output = self._read_output(top.get("output"))
        blocks = self._read_named(top.get("backends"), "backends")
        backends = {
            name: self._read_backend(name, entry) for name, entry in blocks.items()
        }
        # The mock is always there, so that `--backend mock` works with any config.
        if MOCK not in blocks:
            node = YamlNode(line=1, value={"adapter": _build_entry(MOCK)})
            backends[MOCK] = self._read_backend(MOCK, Entry(line=1, node=node))
        if "styles" in top:
            written = self._read_named(top["styles"], "styles")
            found = [self._read_style(name, entry) for name, entry in written.items()]
            styles = [style for style in found if style is not None]
        names = list(dict.fromkeys([*blocks, MOCK]))
        chosen = self._read_default_backend(top.get("default_backend"), blocks, names)
        budget = self._read_budget(top.get("budget"), names)
        history = self._read_section(top.get("history"), ("history",), HistorySettings)
        owner = {key: top[key] for key in OwnerKey.__struct_fields__ if key in top}
        cloud = self._reader.read_values(owner, (), root.line, OwnerKey) or {}
        serve = self._read_serve(top.get("serve"))
        if problems := self._reader.problems():
            raise InvalidConfig(problems)
        return Settings(
            default_backend=chosen,
            output=output,
            owner_user_id=str(cloud.get("owner_user_id", "")).lower(),
            backends={name: block for name, block in backends.items() if block},
            styles={style.name: style for style in styles},
            budgets=(*budget.to_budgets(), *serve.to_budgets()),
            history=history,
            serve=serve,
            path=path,
        )

    def _read_output(self, entry: Entry | None) -> OutputSettings:
        path: KeyPath = ("output",)
        output = self._read_section(entry, path, OutputSettings)
        naming = None if entry is None else _find_entry(entry.node, "naming")
        # A template is checked now: a wrong one would fail after the image is paid for.
        if naming is not None and isinstance(naming.node.value, str):
            destination = Destination(template=naming.node.value)
            try:
                destination.check(at=_SOME_DAY, backend=MOCK, count=1, sidecar=True)
            except InvalidRequest as error:
                self._reader.add_error(naming.line, (*path, "naming"), error)
        return output

    def _read_section(
        self, entry: Entry | None, path: KeyPath, kind: type[StructT]
    ) -> StructT:
        """Read a section in which every key has a default."""
        if entry is None:
            return kind()
        return self._reader.read_struct(entry.node, path, entry.line, kind) or kind()

    def _read_budget(self, entry: Entry | None, names: Sequence[str]) -> BudgetSettings:
        path: KeyPath = ("budget",)
        budget = self._read_section(entry, path, BudgetSettings)
        if entry is None:
            return budget
        self._check_amounts(entry.node, path)
        path = (*path, "backends")
        named = _find_entry(entry.node, "backends")
        if named is not None and isinstance(named.node.value, Mapping):
            for name, each in named.node.value.items():
                self._check_amounts(each.node, (*path, name))
                if name not in names:
                    message = f"unknown backend {display_value(name)}"
                    self._reader.add_problem(
                        each.line, (*path, name), message, suggest_choice(name, names)
                    )
        return budget

    def _read_serve(self, entry: Entry | None) -> ServeSettings:
        path: KeyPath = ("serve",)
        serve = self._read_section(entry, path, ServeSettings)
        named = None if entry is None else _find_entry(entry.node, "budgets")
        if named is not None and isinstance(named.node.value, Mapping):
            for name, each in named.node.value.items():
                self._check_amounts(each.node, (*path, "budgets", name))
        return serve

    def _check_amounts(self, node: YamlNode, path: KeyPath) -> None:
        for key in ("call_usd", "day_usd", "week_usd"):
            amount = _find_entry(node, key)
            # Whole numbers are exact; only a fraction can be finer than a micro-dollar.
            if amount is not None and isinstance(amount.node.value, float):
                try:
                    to_micros(amount.node.value)
                except ValueError as error:
                    self._reader.add_error(amount.line, (*path, key), error)

    def _read_backend(self, name: str, entry: Entry) -> BackendSettings | None:
        reader, path, line = self._reader, ("backends", name), entry.line
        block = reader.read_entries(entry.node, path, line)
        if not isinstance(entry.node.value, Mapping | None):
            return None
        # The common keys are checked even if the adapter is unknown: all errors of a
        # file are reported together.
        common = reader.read_values(block, path, line, BackendBlock)
        options = self._find_options(block, path)
        if options is None:
            return None
        reader.check_keys(block, path, BackendBlock, options)
        shared = {field.encode_name for field in msgspec.structs.fields(BackendBlock)}
        own = {key: value for key, value in block.items() if key not in shared}
        given = reader.read_values(own, path, line, options)
        if common is None or given is None:
            return None
        made = reader.build_struct(line, path, options, given)
        written = reader.build_struct(line, path, BackendBlock, common)
        if made is None or written is None:
            return None
        return BackendSettings(instance=written.to_instance(name), options=made)

    def _find_options(
        self, block: Mapping[str, Entry], path: KeyPath
    ) -> type[msgspec.Struct] | None:
        entry = block.get("adapter")
        if entry is None or not isinstance(entry.node.value, str):
            return None
        try:
            return self._adapter_of(entry.node.value).options
        except ImagenError as error:
            self._reader.add_error(entry.line, (*path, "adapter"), error)
            return None

    def _read_style(self, name: str, entry: Entry) -> Style | None:
        path: KeyPath = ("styles", name)
        block = self._reader.read_struct(entry.node, path, entry.line, StyleBlock)
        seed = _find_entry(entry.node, "seed")
        if seed is not None and type(seed.node.value) is int:
            try:
                validate_seed(seed.node.value)
            except InvalidRequest as error:
                self._reader.add_error(seed.line, (*path, "seed"), error)
                return None
        return None if block is None else block.to_style(name)

    def _read_named(self, entry: Entry | None, key: str) -> Mapping[str, Entry]:
        if entry is None:
            return {}
        entries = self._reader.read_entries(entry.node, (key,), entry.line)
        for name, each in entries.items():
            if (
                not name.isprintable()
                or "/" in name
                or name != name.strip()
                or not name
            ):
                self._reader.add_problem(
                    each.line,
                    (key, name),
                    "invalid name",
                    "use letters, digits and signs other than /, no space at the ends",
                )
        return entries

    def _read_default_backend(
        self, entry: Entry | None, blocks: Mapping[str, Entry], names: Sequence[str]
    ) -> str:
        if entry is None or entry.node.value is None:
            return next(iter(blocks)) if len(blocks) == 1 else MOCK
        path, value = ("default_backend",), entry.node.value
        what = "the name of a backend"
        if not isinstance(value, str):
            self._reader.add_problem(
                entry.line, path, f"expected {what}, got {display_value(value)}"
            )
        elif value not in names:
            message = f"unknown backend {display_value(value)}"
            self._reader.add_problem(
                entry.line, path, message, suggest_choice(value, names)
            )
        return str(value)


# Any date: only whether the template can be expanded is checked.
_SOME_DAY = datetime(2026, 5, 8, tzinfo=UTC)


def _build_entry(value: str) -> Entry:
    return Entry(line=1, node=YamlNode(line=1, value=value))


def _find_entry(node: YamlNode, key: str) -> Entry | None:
    return node.value.get(key) if isinstance(node.value, Mapping) else None

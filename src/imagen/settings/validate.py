"""From a config file's tree to settings; everything wrong is found at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from imagen.domain.errors import ImagenError, InvalidRequest, Misconfigured
from imagen.domain.naming import Destination
from imagen.domain.seed import validate_seed
from imagen.domain.style import Style
from imagen.ports.backend import Adapter
from imagen.settings.model import (
    MOCK,
    BackendBlock,
    BackendSettings,
    BudgetSettings,
    ConfigFile,
    HistorySettings,
    OutputSettings,
    OwnerKey,
    ServeSettings,
    Settings,
    StyleBlock,
    to_micros,
)
from imagen.settings.reading import Reader, StructT, suggest_choice
from imagen.settings.secrets import display_value
from imagen.settings.tree import ConfigProblem, Document, Entry, Trail, YamlNode


class InvalidConfig(Misconfigured):
    """Something in the config file is wrong; the message has a line for each problem.

    Attributes:
        problems: Each problem, in the order of the file.
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
        document: The file as it was read.
        adapter_of: Finds an adapter by its name, or raises Misconfigured.
        expand: Fills in `~` and `$VAR` in a path.
        styles: Those there are if the document has no `styles`.
        path: Where the file is.

    Raises:
        InvalidConfig: with everything that is wrong.
    """
    reader = Reader(document, expand=expand)
    return _Validation(reader, adapter_of).settings(document.root, styles, path)


class _Validation:
    def __init__(
        self, reader: Reader, adapter_of: Callable[[str], Adapter[Any]]
    ) -> None:
        self._reader = reader
        self._adapter_of = adapter_of

    def settings(
        self, root: YamlNode, styles: Iterable[Style], path: Path | None
    ) -> Settings:
        top = self._reader.entries(root, (), root.line)
        self._reader.check_keys(top, (), ConfigFile)
        output = self._output(top.get("output"))
        blocks = self._named(top.get("backends"), "backends")
        backends = {name: self._backend(name, entry) for name, entry in blocks.items()}
        if MOCK not in blocks:
            node = YamlNode(line=1, value={"adapter": _entry(MOCK)})
            backends[MOCK] = self._backend(MOCK, Entry(line=1, node=node))
        if "styles" in top:
            written = self._named(top["styles"], "styles")
            found = [self._style(name, entry) for name, entry in written.items()]
            styles = [style for style in found if style is not None]
        there = list(dict.fromkeys([*blocks, MOCK]))
        chosen = self._default_backend(top.get("default_backend"), blocks, there)
        budget = self._budget(top.get("budget"), there)
        history = self._section(top.get("history"), ("history",), HistorySettings)
        owner = {key: top[key] for key in OwnerKey.__struct_fields__ if key in top}
        cloud = self._reader.values(owner, (), root.line, OwnerKey) or {}
        serve = self._serve(top.get("serve"))
        if problems := self._reader.problems():
            raise InvalidConfig(problems)
        return Settings(
            default_backend=chosen,
            output=output,
            owner_user_id=str(cloud.get("owner_user_id", "")).lower(),
            backends={name: block for name, block in backends.items() if block},
            styles={style.name: style for style in styles},
            budgets=(*budget.budgets(), *serve.spending()),
            history=history,
            serve=serve,
            path=path,
        )

    def _output(self, entry: Entry | None) -> OutputSettings:
        trail: Trail = ("output",)
        output = self._section(entry, trail, OutputSettings)
        naming = None if entry is None else _given(entry.node, "naming")
        if naming is not None and isinstance(naming.node.value, str):
            destination = Destination(template=naming.node.value)
            try:
                destination.check(at=_SOME_DAY, backend=MOCK, count=1, sidecar=True)
            except InvalidRequest as error:
                self._reader.note_error(naming.line, (*trail, "naming"), error)
        return output

    def _section(
        self, entry: Entry | None, trail: Trail, kind: type[StructT]
    ) -> StructT:
        """Read a part of the file in which every key has a default."""
        if entry is None:
            return kind()
        return self._reader.struct(entry.node, trail, entry.line, kind) or kind()

    def _budget(self, entry: Entry | None, there: Sequence[str]) -> BudgetSettings:
        trail: Trail = ("budget",)
        budget = self._section(entry, trail, BudgetSettings)
        if entry is None:
            return budget
        self._check_amounts(entry.node, trail)
        trail = (*trail, "backends")
        named = _given(entry.node, "backends")
        if named is not None and isinstance(named.node.value, Mapping):
            for name, each in named.node.value.items():
                self._check_amounts(each.node, (*trail, name))
                if name not in there:
                    message = f"there is no backend {display_value(name)}"
                    self._reader.note(
                        each.line, (*trail, name), message, suggest_choice(name, there)
                    )
        return budget

    def _serve(self, entry: Entry | None) -> ServeSettings:
        trail: Trail = ("serve",)
        serve = self._section(entry, trail, ServeSettings)
        named = None if entry is None else _given(entry.node, "budgets")
        if named is not None and isinstance(named.node.value, Mapping):
            for name, each in named.node.value.items():
                self._check_amounts(each.node, (*trail, "budgets", name))
        return serve

    def _check_amounts(self, node: YamlNode, trail: Trail) -> None:
        for key in ("call_usd", "day_usd", "week_usd"):
            amount = _given(node, key)
            if amount is not None and isinstance(amount.node.value, float):
                try:
                    to_micros(amount.node.value)
                except ValueError as error:
                    self._reader.note_error(amount.line, (*trail, key), error)

    def _backend(self, name: str, entry: Entry) -> BackendSettings | None:
        reader, trail, line = self._reader, ("backends", name), entry.line
        block = reader.entries(entry.node, trail, line)
        if not isinstance(entry.node.value, Mapping | None):
            return None
        common = reader.values(block, trail, line, BackendBlock)
        options = self._options_of(block, trail)
        if options is None:
            return None
        reader.check_keys(block, trail, BackendBlock, options)
        shared = {field.encode_name for field in msgspec.structs.fields(BackendBlock)}
        own = {key: value for key, value in block.items() if key not in shared}
        given = reader.values(own, trail, line, options)
        if common is None or given is None:
            return None
        made = reader.build(line, trail, options, given)
        written = reader.build(line, trail, BackendBlock, common)
        if made is None or written is None:
            return None
        return BackendSettings(instance=written.instance(name), options=made)

    def _options_of(
        self, block: Mapping[str, Entry], trail: Trail
    ) -> type[msgspec.Struct] | None:
        entry = block.get("adapter")
        if entry is None or not isinstance(entry.node.value, str):
            return None
        try:
            return self._adapter_of(entry.node.value).options
        except ImagenError as error:
            self._reader.note_error(entry.line, (*trail, "adapter"), error)
            return None

    def _style(self, name: str, entry: Entry) -> Style | None:
        trail: Trail = ("styles", name)
        block = self._reader.struct(entry.node, trail, entry.line, StyleBlock)
        seed = _given(entry.node, "seed")
        if seed is not None and type(seed.node.value) is int:
            try:
                validate_seed(seed.node.value)
            except InvalidRequest as error:
                self._reader.note_error(seed.line, (*trail, "seed"), error)
                return None
        return None if block is None else block.style(name)

    def _named(self, entry: Entry | None, key: str) -> Mapping[str, Entry]:
        if entry is None:
            return {}
        entries = self._reader.entries(entry.node, (key,), entry.line)
        for name, each in entries.items():
            if (
                not name.isprintable()
                or "/" in name
                or name != name.strip()
                or not name
            ):
                self._reader.note(
                    each.line,
                    (key, name),
                    "this cannot be a name",
                    "use letters, digits, spaces within and signs other than /",
                )
        return entries

    def _default_backend(
        self, entry: Entry | None, blocks: Mapping[str, Entry], there: Sequence[str]
    ) -> str:
        if entry is None or entry.node.value is None:
            return next(iter(blocks)) if len(blocks) == 1 else MOCK
        trail, value = ("default_backend",), entry.node.value
        what = "the name of a backend"
        if not isinstance(value, str):
            self._reader.note(
                entry.line, trail, f"expected {what}, got {display_value(value)}"
            )
        elif value not in there:
            message = f"there is no backend {display_value(value)}"
            self._reader.note(entry.line, trail, message, suggest_choice(value, there))
        return str(value)


_SOME_DAY = datetime(2026, 5, 8, tzinfo=UTC)


def _entry(value: str) -> Entry:
    return Entry(line=1, node=YamlNode(line=1, value=value))


def _given(node: YamlNode, key: str) -> Entry | None:
    return node.value.get(key) if isinstance(node.value, Mapping) else None

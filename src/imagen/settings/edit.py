"""Add a backend to the text of a config file; everything else stays as it is."""

import textwrap
from collections.abc import Callable, Sequence

import yaml

from imagen.domain.errors import Misconfigured

_KEY = "backends"
_INDENT = 2


class _Entry:
    """A top-level key of the file, and its value."""

    def __init__(self, key: yaml.ScalarEvent, value: yaml.Event) -> None:
        self.line = _line_of(key)
        self.value = value
        self.first_key: yaml.Event | None = None


def add_to_config(
    text: str, *, block: Sequence[str], default: str, check: Callable[[str], bool]
) -> str:
    """Return the text of a config with one more backend.

    Args:
        text: The config file, which is valid.
        block: The lines of the new backend, indented by two blanks.
        default: The line of `default_backend` to add; "" for none.
        check: Returns whether a new text means the same apart from what is added.

    Raises:
        Misconfigured: the file has a form that cannot be extended; the message has
            the lines to add by hand.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    try:
        entries = _read_entries(text)
    except (yaml.YAMLError, StopIteration):
        entries = None
    if entries is not None:
        found = entries.get(_KEY)
        if found is None:
            new = [*_drop_blank_end(lines), "", f"{_KEY}:", *block, ""]
        else:
            new = _insert(lines, found, block)
        if default:
            # Before the first key: comments above it stay at the top of the file.
            at = min((each.line for each in entries.values()), default=len(lines))
            new.insert(at, default)
        if check(changed := end.join(new)):
            return changed
    shown = "\n".join([*([default] if default else []), f"{_KEY}:", *block])
    raise Misconfigured(
        "The backend cannot be added to the config without changing the rest of it; "
        f"nothing was written. Add these lines yourself:\n{shown}"
    )


def _insert(lines: list[str], found: _Entry, block: Sequence[str]) -> list[str]:
    value = found.value
    if isinstance(value, yaml.MappingStartEvent) and value.flow_style:
        return _insert_in_braces(lines, value, block)
    at, column = found.line + 1, _INDENT
    if found.first_key is not None:
        column = _column_of(found.first_key)
        # The comment beside `backends:` may continue on the next lines.
        while at < len(lines) and _is_comment(lines[at], deeper_than=column):
            at += 1
    moved = textwrap.indent(textwrap.dedent("\n".join(block)), " " * column)
    return [*lines[:at], *moved.split("\n"), *lines[at:]]


def _insert_in_braces(
    lines: list[str], value: yaml.MappingStartEvent, block: Sequence[str]
) -> list[str]:
    """Return the lines with the backend as the first entry of `{...}`."""
    line, column = _line_of(value), _column_of(value) + 1
    keys = [each.strip().partition("  #")[0].rstrip() for each in block]
    name, *pairs = (each for each in keys if each and not each.startswith("#"))
    entry = f"{name} {{{', '.join(pairs)}}}"
    before, after = lines[line][:column], lines[line][column:]
    comma = "" if after.lstrip().startswith("}") else ", "
    return [*lines[:line], before + entry + comma + after, *lines[line + 1 :]]


def _read_entries(text: str) -> dict[str, _Entry]:
    """Return the top-level keys of a block mapping, or of an empty file.

    Raises:
        YAMLError: the file has another form.
    """
    entries: dict[str, _Entry] = {}
    events = yaml.parse(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType] - its stream has no type
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            break
    else:
        return entries
    root = next(events)
    if isinstance(root, yaml.ScalarEvent) and not root.value:
        return entries
    if not isinstance(root, yaml.MappingStartEvent) or root.flow_style:
        raise yaml.YAMLError
    while isinstance(key := next(events), yaml.ScalarEvent):
        value = next(events)
        entry = entries[str(key.value)] = _Entry(key, value)
        depth = int(isinstance(value, yaml.CollectionStartEvent))
        while depth:
            inner = next(events)
            if entry.first_key is None and isinstance(inner, yaml.ScalarEvent):
                entry.first_key = inner
            depth += isinstance(inner, yaml.CollectionStartEvent)
            depth -= isinstance(inner, yaml.CollectionEndEvent)
    return entries


def _is_comment(line: str, *, deeper_than: int) -> bool:
    content = line.lstrip()
    return content.startswith("#") and len(line) - len(content) > deeper_than


def _drop_blank_end(lines: Sequence[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return list(lines[:end])


def _line_of(event: yaml.Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line


def _column_of(event: yaml.Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.column

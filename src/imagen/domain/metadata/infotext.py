"""Infotext: the metadata format of AUTOMATIC1111's web UI and many other tools.

The prompt, a line `Negative prompt: ...`, and a line of `Key: value` pairs, in which
values with a comma, colon or newline are JSON strings (webui-forge,
modules/infotext_utils.py).
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from imagen.domain.sidecar import Sidecar

# With fewer pairs the last line is part of the prompt.
_MIN_PAIRS = 3
_NEGATIVE = "Negative prompt:"
_NEEDS_QUOTES = re.compile(r"[,:\n]")
_KEY = re.compile(r"\w[\w \-/]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_PART_OF_AN_OBJECT = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
# The search for the end of an unquoted JSON value may read the rest of the line, so the
# number of these searches is limited too.
_MAX_PAIRS, _MAX_OBJECTS = 1000, 8


class Infotext(msgspec.Struct, frozen=True, kw_only=True):
    """The content of an infotext; `negative` is None without such a line."""

    prompt: str
    negative: str | None = None
    pairs: Mapping[str, str] = {}


def write_infotext(sidecar: Sidecar) -> str:
    """Return the sidecar as an infotext of AUTOMATIC1111's web UI."""
    pairs = {
        "Steps": sidecar.steps,
        "Seed": sidecar.seed,
        "Size": f"{sidecar.width}x{sidecar.height}",
        "Model": sidecar.model or sidecar.backend,
        "Version": f"imagen {sidecar.imagen_version}",
    }
    lines = [sidecar.prompt_sent]
    if sidecar.negative and "negative" not in sidecar.ignored:
        lines.append(f"{_NEGATIVE} {sidecar.negative}")
    lines.append(
        ", ".join(f"{k}: {_quote(v)}" for k, v in pairs.items() if v is not None)
    )
    return "\n".join(lines)


def read_infotext(text: str) -> Infotext:
    """Parse an infotext; any text is at least a prompt."""
    prompts, _, last = ("\n" + text.strip()).rpartition("\n")
    pairs = dict(islice(_parse_pairs(last), _MAX_PAIRS))
    if len(pairs) < _MIN_PAIRS:
        prompts, pairs = text, {}
    prompt, found, negative = ("\n" + prompts.strip()).partition("\n" + _NEGATIVE)
    return Infotext(
        prompt=prompt.strip(),
        negative=negative.strip() if found else None,
        pairs=pairs,
    )


def _parse_pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a line, in linear time for any content."""
    position, objects = 0, _MAX_OBJECTS
    while (colon := line.find(":", position)) >= 0:
        key = line[position:colon].rpartition(",")[2].strip()
        start = colon + 1
        while line.startswith(" ", start):
            start += 1
        end = _find_comma(line, start)
        value = line[start:end].strip()
        if quoted := _STRING.match(line, start):
            end = _find_comma(line, quoted.end())
            value = _unquote(quoted[0])
        elif objects and line.startswith(("{", "["), start):
            closed = _end_of_object(line, start)
            objects = objects - 1 if closed else 0
            end = _find_comma(line, closed or start)
            value = line[start:end].strip()
        if _KEY.fullmatch(key):
            yield key, value
        position = end + 1


def _find_comma(line: str, start: int) -> int:
    found = line.find(",", start)
    return len(line) if found < 0 else found


def _end_of_object(line: str, start: int) -> int:
    """Return the end of the JSON value that starts there; 0 if it has no end."""
    depth = 0
    for part in _PART_OF_AN_OBJECT.finditer(line, start):
        depth += (part[0] in "{[") - (part[0] in "]}")
        if not depth:
            return part.end()
    return 0


def _quote(value: object) -> str:
    text = str(value)
    return msgspec.json.encode(text).decode() if _NEEDS_QUOTES.search(text) else text


def _unquote(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return text

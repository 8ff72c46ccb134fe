"""How AUTOMATIC1111's web UI writes down how an image was made, and many after it.

The prompt, a line `Negative prompt: ...`, a line of `Key: value` pairs in which values
with comma, colon or newline are JSON strings (webui-forge, modules/infotext_utils.py).
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from imagen.domain.sidecar import Sidecar

_FEWEST_PAIRS = 3
"""With fewer, the last line is one of the prompt."""
_NEGATIVE = "Negative prompt:"
_NEEDS_QUOTES = re.compile(r"[,:\n]")
_KEY = re.compile(r"\w[\w \-/]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_PART_OF_AN_OBJECT = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_MOST_PAIRS, _MOST_OBJECTS = 1000, 8


class Infotext(msgspec.Struct, frozen=True, kw_only=True):
    """What such a text says.

    Attributes:
        prompt: The words.
        negative: What was to be kept out; None without such a line.
        pairs: The settings by their names; empty when it has none.
    """

    prompt: str
    negative: str | None = None
    pairs: Mapping[str, str] = {}


def write_infotext(sidecar: Sidecar) -> str:
    """Return the note as AUTOMATIC1111's web UI would write it."""
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
        ", ".join(f"{k}: {_quoted(v)}" for k, v in pairs.items() if v is not None)
    )
    return "\n".join(lines)


def read_infotext(text: str) -> Infotext:
    """Return what the text says; anything is at least a prompt."""
    said, _, last = ("\n" + text.strip()).rpartition("\n")
    pairs = dict(islice(_pairs(last), _MOST_PAIRS))
    if len(pairs) < _FEWEST_PAIRS:
        said, pairs = text, {}
    prompt, found, negative = ("\n" + said.strip()).partition("\n" + _NEGATIVE)
    return Infotext(
        prompt=prompt.strip(),
        negative=negative.strip() if found else None,
        pairs=pairs,
    )


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a line, in time that grows with its length alone."""
    position, objects = 0, _MOST_OBJECTS
    while (colon := line.find(":", position)) >= 0:
        key = line[position:colon].rpartition(",")[2].strip()
        start = colon + 1
        while line.startswith(" ", start):
            start += 1
        end = _comma(line, start)
        value = line[start:end].strip()
        if quoted := _STRING.match(line, start):
            end = _comma(line, quoted.end())
            value = _unquoted(quoted[0])
        elif objects and line.startswith(("{", "["), start):
            closed = _end_of_object(line, start)
            objects = objects - 1 if closed else 0
            end = _comma(line, closed or start)
            value = line[start:end].strip()
        if _KEY.fullmatch(key):
            yield key, value
        position = end + 1


def _comma(line: str, start: int) -> int:
    found = line.find(",", start)
    return len(line) if found < 0 else found


def _end_of_object(line: str, start: int) -> int:
    """Return where JSON that begins there ends; 0 if it does not."""
    depth = 0
    for part in _PART_OF_AN_OBJECT.finditer(line, start):
        depth += (part[0] in "{[") - (part[0] in "]}")
        if not depth:
            return part.end()
    return 0


def _quoted(value: object) -> str:
    text = str(value)
    return msgspec.json.encode(text).decode() if _NEEDS_QUOTES.search(text) else text


def _unquoted(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return text

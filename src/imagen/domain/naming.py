"""How an image file gets its name: a template and the facts, nothing else."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import guess_media_type

DEFAULT_TEMPLATE = "{date}-{time}-{slug}-{seed}.{ext}"
PLACEHOLDERS = ("date", "time", "slug", "seed", "backend", "ext")
SIDECAR_SUFFIX = ".json"
LONGEST_SLUG = 40
LONGEST_NAME = 255
"""Bytes in one part of a path, on every file system that we know of."""

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_ROOM_TO_NUMBER = len("-99999")


class NameFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a template may speak of.

    Attributes:
        at: When the request was made, in local time.
        prompt: As given, before the style.
        seed: The one actually used; None when there was none.
        backend: The instance's name.
        extension: By the media type of the result, without the dot.
    """

    at: datetime
    prompt: str
    seed: int | None
    backend: str
    extension: str


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of one request are called, within their storage.

    Attributes:
        template: Names each file, and never one that exists.
        name: Names the one file, and replaces what is there; several become
            `x-1.png`, `x-2.png`, ...
        format: The media type of templated files; None leaves it to the backend.
    """

    template: str = DEFAULT_TEMPLATE
    name: str | None = None
    format: str | None = None

    @property
    def media_type(self) -> str | None:
        """The format that is asked for; None when none is."""
        return self.format if self.name is None else guess_media_type(self.name)

    def check(self, *, at: datetime, backend: str, count: int, sidecar: bool) -> None:
        """Find out what is wrong with the names before anything is sent.

        Raises:
            InvalidRequest: they are too long, no image's, or out of the folder.
        """
        if self.name is not None:
            guess_media_type(self.name)
            longest_name = self.name if count == 1 else add_number(self.name, count)
            longest = LONGEST_NAME - (len(SIDECAR_SUFFIX) if sidecar else 0)
            if len(longest_name.encode(errors="surrogateescape")) > longest:
                raise InvalidRequest(
                    f"The file name {self.name[:40]!r}... is too long.",
                    hint=f"It can have {longest} bytes"
                    + (", with --no-sidecar a few more." if sidecar else "."),
                )
        facts = NameFacts(at=at, prompt="x", seed=1, backend=backend, extension="png")
        expand_template(self.template, facts)

    def names(self, facts: NameFacts, *, number: int, count: int) -> Iterator[str]:
        """Yield names for one image; all but the first are for when it is taken."""
        if self.name is None:
            yield from candidate_names(expand_template(self.template, facts))
        else:
            yield self.name if count == 1 else add_number(self.name, number)


def expand_template(template: str, facts: NameFacts) -> str:
    """Return a relative path with `/` between its parts.

    Values never contain `/`, unknown placeholders stay as they are, every part is
    short enough to be numbered and to have a sidecar beside it.

    Raises:
        InvalidRequest: the name would leave the output folder, or names nothing.
    """
    values = {
        "date": facts.at.strftime("%Y-%m-%d"),
        "time": facts.at.strftime("%H%M%S"),
        "slug": slugify(facts.prompt),
        "seed": "noseed" if facts.seed is None else str(facts.seed),
        "backend": facts.backend.replace("/", "-").replace("\0", ""),
        "ext": facts.extension,
    }
    if template.rpartition("/")[2].strip() in {"", "{ext}", ".{ext}"}:
        raise InvalidRequest(
            f"The naming template {template!r} names a folder and no file.",
            hint="Add a name, such as {slug}-{seed}.{ext}.",
        )
    if "{ext}" not in template:
        template += ".{ext}"
    filled = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
    parts = filled.split("/")
    if filled.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise InvalidRequest(
            f"The naming template {template!r} leads out of the output folder.",
            hint="Use a relative path without '..' and without empty parts.",
        )
    if "\0" in filled:
        raise InvalidRequest("The naming template contains a NUL character.")
    *folders, name = parts
    return "/".join([*(_cut(folder, 0) for folder in folders), _shortened(name)])


def candidate_names(name: str) -> Iterator[str]:
    """Yield the name, then with `-2`, `-3`, ... before its extension, without end."""
    yield name
    number = 2
    while True:
        yield add_number(name, number)
        number += 1


def add_number(name: str, number: int) -> str:
    """Return `x.png` as `x-2.png`."""
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.rpartition(".")
    if not stem:
        stem, dot, extension = last, "", ""
    return f"{folder}{slash}{stem}-{number}{dot}{extension}"


def slugify(prompt: str) -> str:
    """Return lower-case ASCII words joined by hyphens, at most 40 characters.

    Accents are dropped (`café` is `cafe`); `image` when nothing is left.
    """
    # NFKD can grow a character to 18, and a slug needs only the first few words.
    plain = unicodedata.normalize("NFKD", prompt[:4000]).encode("ascii", "ignore")
    words = _NOT_PLAIN.sub("-", plain.decode().lower()).strip("-")
    return words[:LONGEST_SLUG].strip("-") or "image"


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    tail = dot + extension
    room = len(tail.encode()) + len(SIDECAR_SUFFIX) + _ROOM_TO_NUMBER
    if room >= LONGEST_NAME // 2:  # an "extension" of a hundred bytes is none
        return _cut(name, len(SIDECAR_SUFFIX) + _ROOM_TO_NUMBER)
    return _cut(stem, room) + tail


def _cut(part: str, room: int) -> str:
    return part.encode()[: LONGEST_NAME - room].decode(errors="ignore")

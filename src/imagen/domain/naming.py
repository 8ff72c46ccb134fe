"""Names of image files, from a template and the facts of the image."""

import itertools
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from itertools import count

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import guess_media_type

DEFAULT_TEMPLATE = "{date}-{time}-{slug}-{seed}.{ext}"
PLACEHOLDERS = ("date", "time", "slug", "seed", "backend", "ext")
SIDECAR_SUFFIX = ".json"
LONGEST_SLUG = 40
# Bytes in one part of a path: the limit of ext4, XFS, APFS, NTFS and most others.
LONGEST_NAME = 255

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_SYLLABLE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_ROOM_TO_NUMBER = len("-99999")


class NameFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a template's placeholders.

    Attributes:
        at: Local time of the request.
        prompt: The prompt before the style was applied.
        extension: Extension for the result's media type, without the dot.
    """

    at: datetime
    prompt: str
    seed: int | None
    backend: str
    extension: str


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The file names of one request, within their storage.

    Attributes:
        template: Template for the names; existing files are never replaced.
        name: Name of the file; several images become `x-1.png`, `x-2.png`, ...; None
            uses the template.
        format: Media type of templated files; None leaves the choice to the backend.
    """

    template: str = DEFAULT_TEMPLATE
    name: str | None = None
    format: str | None = None

    @property
    def media_type(self) -> str | None:
        """The requested format; None if none was requested."""
        return self.format if self.name is None else guess_media_type(self.name)

    def check(self, *, at: datetime, backend: str, count: int, sidecar: bool) -> None:
        """Validate the names before anything is sent.

        Raises:
            InvalidRequest: a name is too long, has an unsupported extension, or points
                outside of the folder.
        """
        if self.name is not None:
            guess_media_type(self.name)
            longest_name = self.name if count == 1 else add_number(self.name, count)
            longest = LONGEST_NAME - (len(SIDECAR_SUFFIX) if sidecar else 0)
            if len(longest_name.encode(errors="surrogateescape")) > longest:
                raise InvalidRequest(
                    f"The file name {self.name[:40]!r}... is too long.",
                    hint=f"Use {longest} bytes or fewer"
                    + (", or a few more with --no-sidecar." if sidecar else "."),
                )
        facts = NameFacts(at=at, prompt="x", seed=1, backend=backend, extension="png")
        expand_template(self.template, facts)

    def names(self, facts: NameFacts, *, number: int, count: int) -> Iterator[str]:
        """Yield candidate names for one image, in order of preference."""
        named = self.named(number=number, count=count)
        yield from candidate_names(named or expand_template(self.template, facts))

    def named(self, *, number: int, count: int) -> str | None:
        """Return the name that the user has given one image; None uses the template."""
        if self.name is None or count == 1:
            return self.name
        return add_number(self.name, number)

    def extra_names(self, facts: NameFacts, *, count: int) -> Iterator[str]:
        """Yield candidate names for an image beyond the `count` requested ones."""
        if self.name is None:
            yield from self.names(facts, number=1, count=1)
        else:
            for number in itertools.count(max(2, count + 1)):
                yield add_number(self.name, number)


def expand_template(template: str, facts: NameFacts) -> str:
    """Return a relative path with `/` as the separator.

    Values never contain `/`. Unknown placeholders stay unchanged. Every part is short
    enough for a number and for the suffix of a sidecar.

    Raises:
        InvalidRequest: the path points outside of the output folder, or has no file
            name.
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
            f"The naming template {template!r} has no file name.",
            hint="Add one, such as {slug}-{seed}.{ext}.",
        )
    if "{ext}" not in template:
        template += ".{ext}"
    filled = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
    parts = filled.split("/")
    if filled.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise InvalidRequest(
            f"The naming template {template!r} points outside of the output folder.",
            hint="Use a relative path without '..' or empty parts.",
        )
    if "\0" in filled:
        raise InvalidRequest("The naming template contains a NUL character.")
    *folders, name = parts
    return "/".join([*(_cut(folder, 0) for folder in folders), _shorten(name)])


def candidate_names(name: str) -> Iterator[str]:
    """Yield the name, then endlessly with `-2`, `-3`, ... before its extension."""
    yield name
    for number in count(2):
        yield add_number(name, number)


def add_number(name: str, number: int) -> str:
    """Return `x.png` as `x-2.png`."""
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.rpartition(".")
    if not stem:
        stem, dot, extension = last, "", ""
    return f"{folder}{slash}{stem}-{number}{dot}{extension}"


def slugify(prompt: str) -> str:
    """Return lower-case ASCII words joined by hyphens, at most 40 characters.

    Other scripts are transliterated: `café` becomes `cafe`, `Кот` becomes `kot`. If
    nothing is left, return `image`.
    """
    # A character can become 18 others, and a slug needs only the first few words.
    plain = prompt[:4000]
    if not plain.isascii():
        composed = unicodedata.normalize("NFC", plain)
        plain = _NOT_ASCII.sub(_transliterate, composed)
    words = _NOT_PLAIN.sub("-", plain.lower()).strip("-")
    return words[:LONGEST_SLUG].strip("-") or "image"


def _transliterate(found: re.Match[str]) -> str:
    from anyascii import anyascii

    # Signs for sounds that ASCII does not have do not separate words. Each
    # Chinese character becomes a syllable that begins with a capital: `HuLi`.
    return _SYLLABLE.sub("-", re.sub("['`]", "", anyascii(found[0])))


def _shorten(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    tail = dot + extension
    room = len(tail.encode()) + len(SIDECAR_SUFFIX) + _ROOM_TO_NUMBER
    # A tail of more than a hundred bytes is part of the name, not an extension.
    if room >= LONGEST_NAME // 2:
        return _cut(name, len(SIDECAR_SUFFIX) + _ROOM_TO_NUMBER)
    return _cut(stem, room) + tail


def _cut(part: str, room: int) -> str:
    return part.encode()[: LONGEST_NAME - room].decode(errors="ignore")

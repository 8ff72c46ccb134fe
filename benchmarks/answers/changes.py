"""Changes that turn the usual answer of a vendor into a hostile one."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import msgspec
from benchmarks.answers.vendor import Answer, Change, json_answer
from PIL import Image

HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to this network."


def but(**fields: Any) -> Change:
    return lambda usual: msgspec.structs.replace(usual, **fields)


def instead(status: int = 200, body: bytes = b"", **headers: str) -> Change:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return lambda _: Answer(status=status, body=body, headers=named)


def headers(**more: str) -> Change:
    named = {name.replace("_", "-").title(): value for name, value in more.items()}
    return lambda usual: msgspec.structs.replace(
        usual, headers={**usual.headers, **named}
    )


def body(change: Callable[[bytes], bytes], **more: str) -> Change:
    return lambda usual: headers(**more)(
        msgspec.structs.replace(usual, body=change(usual.body))
    )


def said(**fields: object) -> Change:
    """Change fields of the JSON object in the body; `...` removes one."""

    def change(usual: Answer) -> Answer:
        value = {**json.loads(usual.body), **fields}
        kept = {name: each for name, each in value.items() if each is not ...}
        return msgspec.structs.replace(json_answer(kept), status=usual.status)

    return change


def cut_body(usual: Answer) -> Answer:
    return msgspec.structs.replace(usual, cut=len(usual.encode()) - 20)


def damage(content: bytes) -> bytes:
    """Change one byte of the pixels, so that no checksum fits."""
    middle = content.index(b"IDAT") + 20
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def huge_header(content: bytes) -> bytes:
    """State 60,000 x 60,000 pixels, with a right checksum."""
    head = b"IHDR" + (60_000).to_bytes(4) * 2 + content[24:29]
    return content[:12] + head + zlib.crc32(head).to_bytes(4) + content[33:]


def draw(kind: str, **settings: Any) -> bytes:
    """Return an image with two frames, if the settings say so."""
    first, second = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    if settings:
        settings["append_images"] = [second]
    buffer = BytesIO()
    first.save(buffer, kind, **settings)
    return buffer.getvalue()


def ancillary(content: bytes) -> bytes:
    """Add a text chunk with a wrong checksum."""
    return content[:33] + b"\0\0\0\5tEXta\0bcd\0\0\0\0" + content[33:]


LOST: Mapping[str, Change] = {
    "connection reset": but(cut=0, ending="reset"),
    "connection closed without an answer": but(cut=0),
    "no answer in time": but(cut=0, ending="hang"),
    "headers cut off": but(cut=25),
    "body cut off": cut_body,
    "body cut off by a reset": lambda usual: but(ending="reset")(cut_body(usual)),
    "Content-Length too large": lambda usual: but(length=len(usual.body) + 99)(usual),
    "chunks cut off": lambda usual: cut_body(but(chunked=True)(usual)),
    "no HTTP at all": but(before=b"SSH-2.0-OpenSSH_9.9\r\n"),
    "two Content-Lengths": headers(content_length="7"),
    "gzip that is none": headers(content_encoding="gzip"),
    "gzip cut off": body(lambda it: gzip.compress(it)[:-9], content_encoding="gzip"),
}
"""Answers that cannot be read as a response."""

STRANGE: Mapping[str, Change] = {
    "204 without a body": instead(204),
    "empty body": but(body=b""),
    "HTML page": instead(200, HTML, content_type="text/html"),
    "HTML page called JSON": instead(200, HTML, content_type="application/json"),
    "redirect to a page for signing in": instead(302, location="/login"),
    "redirect to another host": instead(301, location="http://localhost:9/x"),
    "redirect 307": instead(307, location="https://api.example/v1"),
    "redirect 308": instead(308, location="https://api.example/v1"),
    "redirect without an address": instead(303),
}
"""Responses that some other server may have sent."""

OTHER_JSON: Mapping[str, Change] = {
    "Content-Length too small": but(length=40),
    "truncated JSON": body(lambda it: it[:-9]),
    "JSON of another shape": instead(200, b'{"error": null, "data": []}'),
    "JSON list": body(lambda it: b"[" + it + b"]"),
    "JSON null": instead(200, b"null"),
    "no id": said(id=...),
    "id is a number": said(id=17),
    "id is blank": said(id=" "),
    "status is a number": said(status=3),
    "UTF-16": body(lambda it: it.decode().encode("utf-16")),
    "Latin-1": body(lambda it: it[:-1] + ', "é": 1}'.encode("latin-1")),
    "NaN": body(lambda it: it[:-1] + b', "x": NaN}'),
    "nested a million times": body(lambda it: b'{"x":' * 10**6 + it + b"}" * 10**6),
}
"""Responses that are not the documented JSON."""

HARMLESS: Mapping[str, Change] = {
    "JSON called HTML": headers(content_type="text/html"),
    "byte order mark": body(lambda it: b"\xef\xbb\xbf" + it),
    "103 before": but(before=b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"),
    "100 before": but(before=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "HTTP/1.0 without a length": but(version="HTTP/1.0", length=-1),
    "a header twice": lambda usual: but(
        headers={**usual.headers, "content-type": "text/plain", "Date": "yesterday"}
    )(usual),
    "gzip": body(gzip.compress, content_encoding="gzip"),
    "drips": but(pause=0.2),
    "20 MB of spaces": body(lambda it: it + b" " * 20_000_000),
    "unknown fields": said(output_url=1, urls=[]),
}

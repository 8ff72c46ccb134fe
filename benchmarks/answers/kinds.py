"""The hostile answers around a paid call, and what imagen has to make of each."""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import count

import msgspec
from benchmarks.answers.changes import (
    HARMLESS,
    HTML,
    LOST,
    OTHER_JSON,
    STRANGE,
    ancillary,
    body,
    but,
    damage,
    draw,
    headers,
    huge_header,
    instead,
    said,
)
from benchmarks.answers.vendor import IMAGES, PIXEL, Answer, Change, Route

from imagen.testing import tiny_png

FAR = "Tue, 01 Jan 2036 00:00:00 GMT"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>'
GIF = b"GIF89a@\0@\0\x80\0\0\xff\0\0\0\0\xff"
PIXEL_GIF = (
    b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\xff"
    b"!\xf9\4\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
)
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(300)
BASE64 = b64encode(PIXEL).decode()
OTHER_JOB = "another0000000000000000000"

ONCE, GENERATE, FOUR_COMMANDS, ALWAYS = 0, 1, 4, 99
LASTS = {
    ONCE: "once",
    GENERATE: "while it runs",
    FOUR_COMMANDS: "for four commands",
    ALWAYS: "always",
}
LONGER_THAN_KEPT = 4000.0
"""Seconds after which Replicate has deleted the files."""

DONE, FREE, RESCUED, OPEN = ({code} for code in (0, 3, 6, 7))
REFUSED, PATIENT = {2, 4, 5}, {0, 7}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is left when `imagen resume` has nothing to do any more.

    Attributes:
        codes: The exit codes that `imagen generate` may have.
        submitted: The number of jobs that the vendor accepted.
        stored: The number of images in the output folder, extra ones as well.
        rescued: The number of files in the rescue folder.
        open: The number of calls that stay open.
    """

    codes: AbstractSet[int] = frozenset(PATIENT)
    submitted: int = 1
    stored: int = 1
    rescued: int = 0
    open: int = 0


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of hostile answer.

    Attributes:
        changes: The answers in place of the usual ones.
        lasts: ONCE: the first answer only; otherwise the number of commands.
        accepts: Whether the changed answer to a submit request creates a job.
        reachable: Whether the vendor listens at all.
        output: The output of the job, from the URLs of four images.
        seconds: The time between two commands.
    """

    group: str
    name: str
    changes: Mapping[Route, Change] = {}
    lasts: int = ONCE
    accepts: bool = True
    reachable: bool = True
    output: Callable[[list[str]], object] = lambda urls: urls[:1]
    seconds: float = 180.0
    expected: Expected = Expected()

    @property
    def title(self) -> str:
        return f"{self.group}: {self.name}"


# Submit


def submit(
    name: str,
    change: Change,
    codes: AbstractSet[int] = frozenset(DONE),
    *,
    lasts: int = ONCE,
    stored: int = 1,
) -> Kind:
    return Kind(
        group="submit",
        name=name,
        changes={"submit": change},
        lasts=lasts,
        expected=Expected(codes=codes, stored=stored),
    )


def refuse(
    name: str,
    change: Change,
    codes: AbstractSet[int],
    *,
    lasts: int = ONCE,
    opened: int = 0,
) -> Kind:
    """Return a kind without a job; `opened` if imagen cannot know that."""
    return Kind(
        group="submit",
        name=name,
        changes={"submit": change},
        lasts=lasts,
        accepts=False,
        expected=Expected(codes=codes, submitted=0, stored=0, open=opened),
    )


def submit_kinds() -> Iterable[Kind]:
    for name, change in {**LOST, **STRANGE, **OTHER_JSON}.items():
        yield submit(f"{name}, accepted", change)
    for name, change in HARMLESS.items():
        yield submit(name, change)
    for code in (408, 425, 500, 502, 503, 504, 520, 599):
        change = instead(code, HTML)
        yield submit(f"{code}, accepted", change)
        yield refuse(f"{code}, not accepted", change, OPEN, opened=1)
    for name in ("connection reset", "HTML page", "redirect to another host"):
        change = {**LOST, **STRANGE}[name]
        yield refuse(f"{name}, not accepted", change, OPEN, opened=1)
    for code in (400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 451):
        yield refuse(str(code), instead(code, b"{}"), REFUSED)
    for name, change in {
        "429 without Retry-After": instead(429, b"{}"),
        "429 with seconds": instead(429, b"{}", retry_after="3"),
        "429 with nonsense": instead(429, b"{}", retry_after="soon"),
    }.items():
        yield msgspec.structs.replace(submit(name, change), accepts=False)
    yield refuse("429 with a date", instead(429, retry_after=FAR), FREE)
    yield refuse("429 with a day", instead(429, retry_after="86400"), FREE)
    yield refuse("429 again and again", instead(429), FREE, lasts=GENERATE)
    yield Kind(
        group="submit",
        name="connection refused",
        reachable=False,
        expected=Expected(codes=FREE, submitted=0, stored=0),
    )
    for name in ("connection reset", "body cut off"):
        for state, lookup in {
            "unavailable": instead(503),
            "a page": instead(200, HTML),
            "empty": instead(200, b'{"results": []}'),
        }.items():
            yield Kind(
                group="submit",
                name=f"{name}, and the list of jobs is {state}",
                changes={"submit": LOST[name], "list": lookup},
                lasts=GENERATE,
                expected=Expected(codes=OPEN),
            )
    yield submit("already succeeded", succeed)
    yield submit("already failed", said(status="failed"), REFUSED, stored=0)


def succeed(usual: Answer) -> Answer:
    base, _, _ = json.loads(usual.body)["urls"]["get"].partition("/v1/")
    return said(status="succeeded", output=[f"{base}/out/0.png"])(usual)


# Polling


def poll_kinds() -> Iterable[Kind]:
    statuses = {
        str(code): instead(code, b'{"detail": "no"}')
        for code in (400, 401, 402, 403, 404, 408, 409, 410, 422, 425, 451)
    } | {str(code): instead(code, HTML) for code in (500, 502, 504, 520)}
    waits = {
        "429 with seconds": instead(429, retry_after="3"),
        "429 with a date": instead(429, retry_after=FAR),
        "429 with nonsense": instead(429, retry_after="-1"),
        "429 with a thousand years": instead(429, retry_after="31536000000"),
        "503 with seconds": instead(503, retry_after="3"),
    }
    others = {
        "unknown status": said(status="polishing"),
        "status goes back": said(status="starting", output=None),
        "another job that runs": said(id=OTHER_JOB, status="processing"),
        "another job that failed": said(id=OTHER_JOB, status="failed", error="Broke."),
        "another job with an image": said(
            id=OTHER_JOB, status="succeeded", output=[f"data:;base64,{BASE64}"]
        ),
        "another job that was cancelled": said(id=OTHER_JOB, status="canceled"),
    }
    every = {**LOST, **STRANGE, **OTHER_JSON, **statuses, **waits, **others}
    every["no status"] = said(status=...)
    yield from both("poll", every)
    for name in (
        *("401", "404", "500", "HTML page", "another job that failed"),
        *("429 with a date", "429 with a thousand years"),
    ):
        yield Kind(
            group="poll",
            name=name,
            changes={"poll": every[name]},
            lasts=FOUR_COMMANDS,
            expected=Expected(codes=OPEN),
        )
    for name, change in HARMLESS.items():
        yield Kind(
            group="poll",
            name=name,
            changes={"poll": change},
            lasts=GENERATE,
            expected=Expected(codes=DONE),
        )


def both(route: Route, changes: Mapping[str, Change]) -> Iterable[Kind]:
    """Return each kind twice: it passes at once, and it lasts for a command."""
    for name, change in changes.items():
        yield Kind(group=route, name=name, changes={route: change})
        # Each answer that never comes takes up to 30 seconds.
        if name != "no answer in time":
            yield Kind(group=route, name=name, changes={route: change}, lasts=GENERATE)


def figure_kinds() -> Iterable[Kind]:
    """Return values beside the output that are nonsense, and cost no image."""
    nines = "9" * 5000
    for name, fields in {
        "an end in the year 9999": {"completed_at": "9999-12-31T23:59:59Z"},
        "an end in the year 1": {"completed_at": "0001-01-01T00:00:00+14:00"},
        "an end in words": {"completed_at": "soon"},
        "an end as a number": {"completed_at": 1e300},
        "a begin before all time": {"created_at": "-1", "started_at": []},
        "a log that is a list": {"logs": ["Using seed: 1"]},
        "a seed of 30 digits": {"logs": f"Using seed: {nines[:30]}"},
        "a seed of 5,000 digits": {"logs": f"Using seed: {nines}"},
        "5,000 digits of steps": {"logs": f"100%|##| {nines}/{nines} ["},
        "0 of 0 steps": {"logs": "100%|##| 0/0 ["},
        "a log of 10 MB": {"logs": "x" * 10_000_000},
        "escape sequences": {"logs": "\x1b[2J\0", "model": "a/\x1b[31m\n\0b"},
        "metrics in words": {"metrics": {"predict_time": "fast", "image_count": "2"}},
        "negative metrics": {"metrics": {"predict_time": -1, "image_count": -2}},
        "infinite metrics": {"metrics": {"predict_time": 1e308, "image_count": 1e300}},
        "metrics that are a list": {"metrics": [1, 2]},
        "no metrics": {"metrics": None},
        "a model that is a number": {"model": 7},
        "no model": {"model": ...},
        "another model": {"model": "someone/something"},
        "a model name of 100,000 letters": {"model": "a/" + "b" * 100_000},
        "a version that is a mapping": {"version": {"id": {"id": []}}},
        "an input that is a text": {"input": "a fox"},
        "another input": {"input": {"prompt": 1e300, "x": "\0", "seed": "\x1b"}},
        "an error and an image": {"error": {"code": 7}},
        "deleted data and an image": {"data_removed": True},
    }.items():
        yield Kind(
            group="figures",
            name=name,
            changes={"poll": said(**fields)},
            lasts=ALWAYS,
            expected=Expected(codes=DONE),
        )


# Download


def file_kinds() -> Iterable[Kind]:
    png, octets = "image/png", "application/octet-stream"
    pages = {
        "JSON": instead(
            200, b'{"detail": "try again"}', content_type="application/json"
        ),
        "JSON called an image": instead(200, b' {"detail": "wait"}', content_type=png),
        "JSON called SVG": instead(200, b'{"detail": 1}', content_type="image/svg+xml"),
        "HTML called SVG": instead(200, HTML, content_type="image/svg+xml"),
        "HTML in UTF-16 with its type": instead(
            200, HTML.decode().encode("utf-16-le"), content_type="text/html"
        ),
        "HTML in Latin-1": instead(
            200, HTML + "é".encode("latin-1"), content_type="text/html"
        ),
        "JSON list called an image": instead(
            200, b'["wait", "a", "bit"]', content_type=png
        ),
        "HTML": STRANGE["HTML page"],
        "HTML called an image": instead(200, HTML, content_type=png),
        "HTML with a byte order mark": instead(
            200, b"\xef\xbb\xbf" + HTML, content_type=octets
        ),
        "HTML in UTF-16": instead(
            200, HTML.decode().encode("utf-16"), content_type=png
        ),
        "XML": instead(200, b"<?xml version='1.0'?><Error/>", content_type=octets),
        "words": instead(200, b"The image is not ready yet.", content_type=png),
        "words without a type": instead(200, b"Please come back in a minute."),
    }
    damaged = {
        "half an image": body(lambda it: it[: len(it) // 2]),
        "Content-Length too small": but(length=60),
        "one byte too few": body(lambda it: it[:-1]),
        "206 with a part": lambda usual: but(status=206)(
            body(lambda it: it[:99])(usual)
        ),
        "a damaged pixel": body(damage),
        "a GIF that is cut off": instead(200, GIF, content_type="image/gif"),
        "an SVG that is cut off": instead(200, SVG[:-6], content_type="image/svg+xml"),
    }
    statuses = {
        str(code): instead(code, HTML, content_type="text/html")
        for code in (400, 401, 403, 404, 405, 408, 410, 425, 451, 500, 502, 503, 504)
    }
    redirects = {
        "redirect to a private address": instead(302, location="http://10.0.0.1/x"),
        "redirect to the metadata service": instead(
            302, location="http://169.254.169.254/latest"
        ),
        "redirect to itself": instead(302, location="/out/0.png"),
        "redirect without an address": instead(302),
        "redirect to no URL": instead(302, location="https://[x/"),
        "redirect to a file": instead(302, location="file:///etc/passwd"),
    }
    waits = {
        "429 with seconds": instead(429, retry_after="3"),
        "429 with a day": instead(429, retry_after="86400"),
        "429 with nonsense": instead(429, retry_after="?"),
    }
    nothing = {"204": instead(204), "empty": but(body=b"")}
    every = {**LOST, **pages, **damaged, **statuses, **redirects, **waits, **nothing}
    every.pop("gzip that is none")
    yield from both("file", every)
    for name, change in {**pages, **damaged}.items():
        yield Kind(
            group="file",
            name=name,
            changes={"file": change},
            lasts=ALWAYS,
            expected=Expected(codes=OPEN, stored=0, rescued=1),
        )
    numbers = count()
    yield Kind(
        group="file",
        name="another page each time",
        changes={"file": lambda _: Answer(body=HTML + b"%d" % next(numbers))},
        lasts=FOUR_COMMANDS,
        expected=Expected(codes=OPEN),
    )
    every["512 MB in gzip"] = lambda _: Answer(
        body=gzip.compress(bytes(512 * 2**20), 1),
        headers={"Content-Encoding": "gzip"},
    )
    for name in (
        *("403", "404", "410", "empty"),
        *("redirect to a private address", "512 MB in gzip"),
    ):
        yield Kind(
            group="file",
            name=f"{name}, longer than the file is kept",
            changes={"file": every[name]},
            lasts=ALWAYS,
            seconds=LONGER_THAN_KEPT,
            expected=Expected(codes=OPEN, stored=0),
        )
    for name, change in {
        "a right image called text": headers(content_type="text/plain"),
        "a right image called HTML": headers(content_type="text/html"),
        "a right image called JSON": headers(content_type="application/json"),
        "a right image without a type": headers(content_type=""),
        "gzip": HARMLESS["gzip"],
        "gzip that is none": LOST["gzip that is none"],
        "an unknown encoding": headers(content_encoding="zstd-9"),
        "chunks": but(chunked=True),
        "HTTP/1.0 without a length": HARMLESS["HTTP/1.0 without a length"],
        "drips": HARMLESS["drips"],
        "103 before": HARMLESS["103 before"],
        "bytes after the end": body(lambda it: it + bytes(99)),
        "an ancillary chunk with a wrong checksum": body(ancillary),
        "a header of 60,000 x 60,000 pixels": body(huge_header),
        "one pixel": but(body=tiny_png(1, 1)),
        "a small image": but(body=PIXEL),
        "another format": but(body=PIXEL_GIF),
        "JPEG": but(body=draw("JPEG")),
        "AVIF": but(body=draw("AVIF")),
        "an animated WebP": but(body=draw("WEBP", save_all=True)),
        "an animated PNG": but(body=draw("PNG", save_all=True)),
        "SVG": instead(200, SVG, content_type="image/svg+xml"),
        "SVG called text": instead(200, SVG, content_type="text/plain"),
    }.items():
        yield Kind(
            group="file",
            name=name,
            changes={"file": change},
            lasts=ALWAYS,
            expected=Expected(codes=DONE),
        )
    for name, content in {
        "a video": MP4,
        "a PDF": b"%PDF-1.7\n" + bytes(99),
        "an archive": b"PK\3\4" + bytes(99),
        "unknown bytes": bytes(range(256)),
    }.items():
        yield Kind(
            group="file",
            name=name,
            changes={"file": but(body=content)},
            lasts=ALWAYS,
            expected=Expected(codes=RESCUED, stored=0, rescued=1),
        )


# Output


def output_kinds() -> Iterable[Kind]:
    uri = f"data:image/png;base64,{BASE64}"
    lines = "\n".join(BASE64[start : start + 76] for start in range(0, len(BASE64), 76))
    for name, output, stored in (
        ("a string", lambda urls: urls[0], 1),
        ("a list", lambda urls: urls[:1], 1),
        ("a nested list", lambda urls: [[[urls[0]]]], 1),
        ("more than requested", lambda urls: urls, 4),
        ("the same URL twice", lambda urls: [urls[0], urls[0]], 1),
        ("nulls between", lambda urls: [None, urls[0], None], 1),
        ("a mapping", lambda urls: {"image": urls[0], "seed": 3}, 1),
        ("a mapping with a mask", lambda urls: {"mask": urls[1], "out": urls[0]}, 2),
        ("file objects", lambda urls: [{"url": urls[0], "content_type": "x"}], 1),
        ("texts and an image", lambda urls: {"text": "a poem", "files": urls[:1]}, 1),
        ("a relative URL", lambda _: "/out/0.png", 1),
        ("a URL without a scheme", lambda urls: urls[0].removeprefix("http:"), 1),
        ("a URL in capitals", lambda urls: urls[0].replace("http", "HTTP"), 1),
        ("a URL between spaces", lambda urls: f" {urls[0]}\n", 1),
        ("a data URI", lambda _: uri, 1),
        ("a data URI with line breaks", lambda _: uri.replace(BASE64, lines), 1),
        ("a data URI without padding", lambda _: uri.rstrip("="), 1),
        ("a data URI in capitals", lambda _: uri.replace("data:", "DATA:"), 1),
        (
            "a data URI in the URL alphabet",
            lambda _: uri.replace(BASE64, BASE64.replace("+", "-").replace("/", "_")),
            1,
        ),
        ("Base64 alone", lambda _: [BASE64], 1),
        ("JSON in a string", lambda urls: json.dumps({"images": urls[:1]}), 1),
    ):
        yield Kind(
            group="output",
            name=name,
            output=output,
            expected=Expected(codes=DONE, stored=stored),
        )
    for name, output in (
        ("null", lambda _: None),
        ("an empty list", lambda _: []),
        ("an empty mapping", lambda _: {}),
        ("a number", lambda _: 7),
        ("a text", lambda _: "a poem about a fox"),
    ):
        yield Kind(
            group="output",
            name=name,
            output=output,
            expected=Expected(codes=REFUSED, stored=0),
        )
    yield Kind(
        group="output",
        name="null for a moment",
        changes={"poll": null_for_a_moment},
        expected=Expected(codes=DONE),
    )
    for name, output in (
        ("a data URI that is cut off", lambda _: uri[:-40]),
        ("a data URI that is not Base64", lambda _: "data:image/png;base64,***"),
    ):
        yield Kind(
            group="output",
            name=name,
            output=output,
            expected=Expected(codes=RESCUED, stored=0, rescued=1),
        )
    yield Kind(
        group="output",
        name="more than requested, and one is late",
        output=lambda urls: urls,
        changes={"file": change_others(IMAGES[:2] + IMAGES[3:], instead(404))},
        lasts=GENERATE,
        expected=Expected(stored=4),
    )
    yield Kind(
        group="output",
        name="an image and a page",
        output=lambda urls: urls[:2],
        changes={"file": change_others(IMAGES[:1], instead(200, HTML))},
        lasts=ALWAYS,
        expected=Expected(stored=1, rescued=1),
    )


def null_for_a_moment(usual: Answer) -> Answer:
    if b'"succeeded"' in usual.body and b"/out/" in usual.body:
        return said(output=None)(usual)
    return usual


def change_others(kept: Container[bytes], change: Change) -> Change:
    """Change the answers with other bodies."""
    return lambda usual: usual if usual.body in kept else change(usual)


def list_kinds() -> tuple[Kind, ...]:
    makers = (submit_kinds, poll_kinds, figure_kinds, file_kinds, output_kinds)
    return tuple(kind for make in makers for kind in make())

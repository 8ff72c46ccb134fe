"""Responses that are streams of events, with previews of the unfinished image."""

from collections.abc import Mapping

import msgspec
import pytest
from tests.integration.openai_dialects.cases import B64, CASES, DATA, PICTURE, TOKENS
from tests.integration.openai_dialects.conftest import Server
from tests.integration.remote.server import Reply, json_reply

from imagen.backend import BackendError, Refused, Unfinished
from imagen.testing.fakes import RecordingContext


class LiveContext(RecordingContext):
    """A context that shows previews."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[bytes, str]] = []

    def show(self, content: bytes, *, media_type: str) -> None:
        self.shown.append((content, media_type))


def stream_of(*events: Mapping[str, object]) -> Reply:
    lines = [
        f"event: x\ndata: {msgspec.json.encode(each).decode()}\n\n" for each in events
    ]
    content = ": waiting\n\n" + "".join(lines) + "data: [DONE]\n\n"
    kind = {"Content-Type": "text/event-stream; charset=utf-8"}
    return Reply(content=content.encode(), headers=kind)


PARTIAL = {"type": "image_generation.partial_image", "b64_json": B64}
COMPLETED = {"type": "image_generation.completed", "b64_json": B64}


def test_a_stream_has_previews_and_the_image_with_its_tokens(it: Server) -> None:
    it.reply(stream_of(PARTIAL, {**COMPLETED, "usage": TOKENS}))
    backend, context = it.connect("openai"), LiveContext()

    generated = backend.generate(it.job_for(backend), context)

    assert it.request.body["stream"] is True
    assert it.request.body["partial_images"] == 2
    assert context.shown == [(PICTURE, "image/png")]
    assert [image.content for image in generated.images] == [PICTURE]
    assert generated.used.tokens == CASES["openai"].tokens


def test_a_stream_of_another_imagen_has_its_progress(it: Server) -> None:
    progress = {"type": "image_generation.progress", "fraction": 0.5, "note": "drawing"}
    it.reply(stream_of(progress, {**COMPLETED, "cost_usd": 0.04, "seed": 7}))
    backend, context = it.connect("imagen"), LiveContext()

    generated = backend.generate(it.job_for(backend), context)

    assert 0.5 in context.fractions
    assert generated.cost.micros == 40_000
    assert generated.images[0].seed == 7


@pytest.mark.parametrize(
    ("name", "events", "kind"),
    [
        (
            "openai",
            [PARTIAL, {"type": "error", "error": {"message": "oops"}}],
            BackendError,
        ),
        ("openai", [{"error": {"code": "moderation_blocked"}}], Refused),
        ("openai", [PARTIAL], Unfinished),
        ("imagen", [{"error": {"code": "unfinished", "message": "lost"}}], Unfinished),
    ],
)
def test_a_stream_without_an_image(
    name: str, events: list[dict[str, object]], kind: type[Exception], it: Server
) -> None:
    it.reply(stream_of(*events))
    backend = it.connect(name)

    with pytest.raises(kind):
        backend.generate(it.job_for(backend), LiveContext())


def test_several_images_are_no_stream(it: Server) -> None:
    it.reply(json_reply(DATA))
    backend = it.connect("openai")

    backend.generate(it.job_for(backend, count=2), LiveContext())

    assert "stream" not in it.request.body

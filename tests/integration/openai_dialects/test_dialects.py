"""What each dialect sends, and what it makes of the response, by a server on a socket.

The expected requests are written out, so that a mistake in the table shows.
"""

from email import message_from_bytes
from io import BytesIO

import pytest
from PIL import Image
from tests.integration.openai_dialects.cases import (
    CASES,
    DATA,
    PICTURE,
    REFERENCE,
    Case,
)
from tests.integration.openai_dialects.conftest import Server
from tests.integration.remote.server import Recorded, Reply, json_reply

from imagen.adapters.backends.openai.adapter import OpenAIOptions
from imagen.adapters.backends.openai.dialect import load_table
from imagen.backend import InvalidRequest, ReferenceImage
from imagen.bootstrap.requests import build_reference
from imagen.testing.fakes import RecordingContext


def reply_of(case: Case) -> Reply:
    if isinstance(case.answer, bytes):
        return Reply(content=case.answer, headers={"Content-Type": "image/png"})
    return json_reply(case.answer or DATA, **case.answer_headers)


def parts_of(request: Recorded) -> list[tuple[str, str | None, bytes]]:
    """Return the parts of a form: field, file name and content."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n"
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message_from_bytes(head.encode() + request.content).get_payload()
    ]


def test_there_is_a_case_for_each_dialect() -> None:
    assert CASES.keys() == load_table().keys()


@pytest.mark.parametrize("name", CASES)
def test_a_generation(name: str, it: Server) -> None:
    case = CASES[name]
    it.reply(reply_of(case))
    backend = it.connect(name, case.model)

    generated = backend.generate(it.job_for(backend), RecordingContext())

    sent = it.request
    assert sent.path == case.path
    assert sent.body == case.sends
    assert {header: sent.headers.get(header) for header in case.headers} == case.headers
    assert [image.content for image in generated.images] == [PICTURE]
    assert generated.cost.micros == case.costs
    assert generated.used.tokens == case.tokens


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].edit_path])
def test_an_edit(name: str, it: Server) -> None:
    case = CASES[name]
    it.reply(reply_of(case))
    backend = it.connect(name, case.model)
    images = (build_reference(REFERENCE, name="a.png"),)
    mask = build_mask() if "mask" in case.files else None

    backend.generate(it.job_for(backend, images=images, mask=mask), RecordingContext())

    sent = it.request
    assert sent.path == case.edit_path
    if case.edits is not None:
        assert sent.body == {**case.sends, **case.edits}
        return
    parts = parts_of(sent)
    files = {field: content for field, file, content in parts if file}
    texts = {field: content.decode() for field, file, content in parts if not file}
    assert tuple(files) == case.files
    assert files[case.files[0]] == REFERENCE
    assert texts == {field: str(value) for field, value in case.sends.items()}
    if mask is not None:
        is_white = name in {"sd-server", "lemonade"}
        assert (
            read_corner(files["mask"]) == ("L", 255)
            if is_white
            else files["mask"] == mask.content
        )


def build_mask() -> ReferenceImage:
    picture, buffer = Image.new("RGBA", (64, 64), (0, 0, 0, 255)), BytesIO()
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(buffer, "PNG")
    return build_reference(buffer.getvalue(), name="m.png")


def read_corner(content: bytes) -> tuple[str, object]:
    with Image.open(BytesIO(content)) as picture:
        return picture.mode, picture.getpixel((0, 0))


def test_capabilities_follow_the_model(it: Server) -> None:
    backend = it.connect("together", "black-forest-labs/FLUX.1-dev")
    context = RecordingContext()

    flux2 = backend.capabilities_of("black-forest-labs/FLUX.2-pro", context)  # type: ignore[attr-defined]
    gemini = backend.capabilities_of("google/gemini-nano-banana-2.1", context)  # type: ignore[attr-defined]

    assert (backend.capabilities().references, flux2.references) == (0, 8)
    assert flux2.largest_seed
    assert (gemini.largest_seed, gemini.steps, gemini.negative) == (None, False, False)
    assert it.server.requests == []


def test_a_request_without_a_model_is_refused(it: Server) -> None:
    backend = it.connect("openai", "")

    with pytest.raises(InvalidRequest, match=r"OpenAI at .* has no default model"):
        backend.generate(it.job_for(backend), RecordingContext())


def test_a_dialect_that_is_not_in_the_table_is_a_row_of_data(it: Server) -> None:
    it.reply(json_reply(DATA))
    nebius = {
        "title": "Nebius",
        "key_env": "NEBIUS_API_KEY",
        "fields": {"size": None, "width": "width", "height": "height", "seed": "seed"},
        "sizes": {"multiple": 8, "largest": 2048},
        "response_format": "b64_json",
        "always": {"response_extension": "png"},
    }
    backend = it.connect("litellm", "black-forest-labs/flux-dev", overrides=nebius)

    backend.generate(it.job_for(backend), RecordingContext())

    assert repr(backend).startswith("<backend for Nebius at ")
    assert it.request.body == {
        "model": "black-forest-labs/flux-dev",
        "prompt": "a fox",
        "n": 1,
        "width": 1024,
        "height": 1024,
        "seed": 7,
        "response_format": "b64_json",
        "response_extension": "png",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dialect": "opanai"}, "unknown dialect 'opanai' \\(Did you mean openai"),
        ({"dialect": "azure", "model": "m"}, "needs a base_url, such as https://RES"),
        ({"base_url": "http://a/v1/images/generations/"}, "set it to http://a/v1"),
        ({"overrides": {"sizes": {"multipel": 8}}}, "overrides: .*multipel"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        OpenAIOptions(**options)  # type: ignore[arg-type]

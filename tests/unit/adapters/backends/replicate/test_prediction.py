from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from imagen.adapters.backends.replicate.prediction import (
    Prediction,
    PredictionPage,
    explain_failure,
    list_outputs,
    read_seed,
    read_status,
    read_usage,
)
from imagen.adapters.remote.vendor import JobSucceeded
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import BackendError, ImagenError, Refused
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

A, B = "https://replicate.delivery/a/out-0.webp", "https://replicate.delivery/b.png"


def prediction(**said: Any) -> Prediction:
    text = msgspec.json.encode({"id": "abc", "status": "succeeded", **said})
    return msgspec.json.decode(text, type=Prediction)


@pytest.mark.parametrize(
    ("output", "addresses"),
    [
        (None, ()),
        (A, (A,)),
        ([A, B], (A, B)),
        ([A, None, B, A], (A, B)),
        ({"images": [A], "mask": B, "seed": 3}, (A, B)),
        ([{"image": A}], (A,)),
        (["data:image/png;base64,AA=="], ("data:image/png;base64,AA==",)),
        ("a poem", ()),
        (f" {A}\n", (A,)),
        (A.upper(), (A.upper(),)),
        ("/out/0.png", ("/out/0.png",)),
        ("//cdn.example/0.png", ("//cdn.example/0.png",)),
        ([A, "/tmp/out.png", "iVBORw0KGgo="], (A,)),
        ("/imagine a cat", ()),
        (
            ["iVBORw0KGgo=", "/9j/4AAQ"],
            ("data:;base64,iVBORw0KGgo=", "data:;base64,/9j/4AAQ"),
        ),
        (f'{{"image": "{A}", "mask": "{B}"}}', (A, B)),
        ('{"text": "a poem"}', ()),
        ("[a poem]", ()),
        ("[" * 100_000, ()),
        ([1, True, ""], ()),
        ("file:///etc/passwd", ()),
    ],
    ids=str,
)
def test_finds_files_in_every_form_of_output(
    output: object, addresses: tuple[str, ...]
) -> None:
    assert list_outputs(prediction(output=output)) == addresses


@pytest.mark.parametrize(
    "said",
    [
        {"input": None, "logs": None, "metrics": None, "output": 3},
        {"input": [], "logs": 7, "metrics": "none", "error": {"a": 1}, "model": None},
        {"data_removed": "no", "created_at": 5, "version": None},
    ],
    ids=str,
)
def test_understands_a_prediction_however_odd(said: dict[str, object]) -> None:
    odd = prediction(**said)

    assert list_outputs(odd) == ()
    assert read_seed(odd) is None
    assert isinstance(explain_failure(odd), BackendError)


@pytest.mark.parametrize("beside", ["thumbnail", "mask_url", "Preview", "video"])
@pytest.mark.parametrize("wanted", ["image", "images", "output"])
def test_the_requested_image_comes_before_what_is_beside_it(
    wanted: str, beside: str
) -> None:
    output = {beside: B, wanted: [A]}

    assert list_outputs(prediction(output=output)) == (A, B)


def test_a_field_of_any_name_comes_before_a_thumbnail() -> None:
    assert list_outputs(prediction(output={"thumbnail": B, "result": A})) == (A, B)


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b'{"id": "", "status": "x"}', b'{"id": 3, "status": "x"}']
)
def test_a_prediction_without_a_name_is_none(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Prediction)


def test_reads_a_list_over_what_makes_no_sense() -> None:
    text = b'{"results": [{"id": "a", "status": "x"}, {}, 3], "next": null}'

    page = msgspec.json.decode(text, type=PredictionPage)

    assert [each.id for each in page.predictions] == ["a"]


@pytest.mark.parametrize(
    ("logs", "seed"),
    [
        ("Using seed: 42069\nPrompt: using seed: 3", 42069),
        ("loading\nUsing seed: 7\n", 7),
        ("using random seed 12", 12),
        ("Prompt: a garden, seed: 5", None),
        ("the seed is secret", None),
        (None, None),
        (f"Using seed: {2**64 - 1}", 2**64 - 1),
        (f"Using seed: {2**64}", None),
        (f"Using seed: {'9' * 30}", None),
        (f"Using seed: {'9' * 5000}", None),
    ],
)
def test_reads_the_seed_of_a_log(logs: str | None, seed: int | None) -> None:
    assert read_seed(prediction(logs=logs)) == seed


@pytest.mark.parametrize(
    ("text", "kept_until"),
    [
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 11, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", None),
        ("soon", None),
    ],
)
def test_a_file_is_kept_for_an_hour_after_any_end_that_has_one(
    text: str, kept_until: datetime | None
) -> None:
    job = ImageJob(number=1, prompt="a cat", size=Size(512, 512), timeout=60)

    status = read_status(prediction(output=A, completed_at=text), job, steps=None)

    assert isinstance(status, JobSucceeded)
    assert status.outputs[0].kept_until == kept_until


def failed(error: str | None) -> dict[str, object]:
    return {"status": "failed", "error": error}


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ({}, Used()),
        ({"metrics": {"predict_time": 1.5}}, Used(seconds=1.5)),
        ({"metrics": {"image_count": 4}}, Used(images=4)),
        ({"metrics": {"image_count": "x"}}, Used()),
        ({"metrics": {"predict_time": -1}}, Used()),
        (
            {"metrics": {"predict_time": 1e308, "image_count": 1e300}},
            Used(seconds=1e9, images=10**9),
        ),
    ],
    ids=str,
)
def test_says_what_was_used(said: dict[str, object], used: Used) -> None:
    assert read_usage(prediction(output=[A, B], **said)) == used


@pytest.mark.parametrize("status", ["aborted", "canceled"])
def test_what_was_never_begun_is_free(status: str) -> None:
    assert read_usage(prediction(status=status)) == UNTOUCHED


def test_what_was_begun_is_not_free() -> None:
    begun = prediction(status="canceled", started_at="2026-11-22T10:00:00Z")

    assert read_usage(begun) == Used()


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (failed("NSFW content detected. Try again."), Refused, "NSFW"),
        (failed("It was flagged as sensitive. (E005) (x)"), Refused, "E005"),
        (failed("Blocked by our moderation system"), Refused, "moderation"),
        (failed("list index out of range"), BackendError, "list index"),
        (failed(None), BackendError, "no reason given"),
        ({"status": "aborted"}, BackendError, "did not start"),
        ({"status": "canceled"}, BackendError, "cancelled"),
        ({"status": "succeeded"}, BackendError, "without an image"),
        ({"logs": "NSFW content detected"}, Refused, "withholds"),
        ({"status": "succeeded", "data_removed": True}, BackendError, "deleted"),
    ],
    ids=str,
)
def test_says_what_it_means_that_there_is_no_image(
    said: dict[str, object], kind: type[ImagenError], words: str
) -> None:
    failure = explain_failure(prediction(**said))

    assert type(failure) is kind
    assert words in failure.message
    assert len(failure.message) < 400
    assert failure.used is not None

"""What Black Forest Labs receives, and what its responses mean."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from tests.integration.bfl.stub import BflStub
from tests.integration.served import JOB, Served, serve

from imagen.adapters.backends.bfl.tasks import Task, read_status
from imagen.adapters.backends.bfl.vendor import Bfl, BflOptions, adapter
from imagen.adapters.remote.vendor import HttpResponse, JobRunning, JobSucceeded
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unfinished,
)
from imagen.domain.money.cost import Cost
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.testing import RecordedRequest, StubResponse
from imagen.testing.fakes import RecordingContext, tiny_png
from imagen.testing.proxy import StagedResponse

READY = {"sample": "https://delivery-eu4.bfl.ai/x/sample.png", "seed": 7}


def bfl(
    stub: BflStub | None = None,
    answers: dict[str, StagedResponse] | None = None,
    **more: object,
) -> AbstractContextManager[Served]:
    secrets = {"api_key_env": "bfl-canary"}
    return serve(adapter, stub or BflStub(), answers, secrets=secrets, **more)


@pytest.fixture
def served() -> Iterator[Served]:
    with bfl() as served:
        yield served


def reference(number: int) -> ReferenceImage:
    content = tiny_png(64, 64, (number, 0, 0))
    digest = sha256(content).hexdigest()
    return ReferenceImage(
        name="a.png", sha256=digest, media_type="image/png", content=content
    )


def test_sends_the_size_of_flux_2_in_pixels(served: Served) -> None:
    served.generate(media_type="image/png", options={"safety_tolerance": 4})

    (request,) = served.proxy.submits
    assert request.path == "/v1/flux-2-pro"
    assert request.headers["x-key"] == "bfl-canary"
    assert request.json() == {
        "prompt": "a lighthouse in fog",
        "width": 512,
        "height": 256,
        "seed": 7,
        "output_format": "png",
        "safety_tolerance": 4,
    }


def test_sends_flux_3_nothing_but_what_it_accepts() -> None:
    with bfl(model="flux-3-image", input={"grounding": False}) as served:
        served.generate(size=Size(1152, 896), seed=None, images=(reference(1),))

        body = served.submitted
    assert body.pop("images")
    assert body == {
        "prompt": "a lighthouse in fog",
        "aspect_ratio": "4:3",
        "resolution": "1k",
        "grounding": False,
    }


def test_numbers_the_reference_images_of_flux_2(served: Served) -> None:
    served.generate(images=tuple(map(reference, range(3))))

    names = [name for name in served.submitted if name.startswith("input_image")]
    assert names == ["input_image", "input_image_2", "input_image_3"]


def test_of_each_model_it_knows_what_it_takes(served: Served) -> None:
    def look_up(model: str) -> object:
        return served.backend.capabilities_of(model, RecordingContext())

    pro, klein, third = map(look_up, ("flux-2-pro", "flux-2-klein-4b", "flux-3-image"))
    assert (pro.references, klein.references, third.references) == (8, 4, 10)
    assert (pro.largest_seed is None, third.largest_seed) == (False, None)
    assert pro.sizes.allows(Size(2560, 1600))
    assert not pro.sizes.allows(Size(2560, 2560))
    assert third.reference_limits.smallest == 256
    assert third.formats == ()
    with pytest.raises(InvalidRequest, match="BFL has no model 'flux-4'"):
        look_up("flux-4")
    assert served.proxy.requests == []


def test_an_unknown_model_is_an_error_of_the_config() -> None:
    with pytest.raises(ValueError, match="BFL has no model 'flux-2-por'") as raised:
        BflOptions(model="flux-2-por")

    assert raised.value.hint == "Did you mean flux-2-pro?"  # type: ignore[attr-defined]


class FirstOnly(BflStub):
    """FLUX.2 states the cost in its first response only."""

    def finish(self, id_: str, task: dict) -> dict[str, object]:
        found = super().finish(id_, task)
        return {**found, "cost": None}


def test_one_credit_is_a_cent() -> None:
    with bfl(FirstOnly()) as served:
        generated = served.generate()
        resumed = served.backend.resume(
            JOB, served.context.references[0], RecordingContext()
        )

    assert generated.cost == Cost(micros=35_000, source="reported")
    # Another process does not know it; the price table does.
    assert (resumed.cost, resumed.used.images) == (Cost(), 1)


def test_polls_the_region_that_has_the_task() -> None:
    vendor = Bfl(BflOptions()).for_job(JOB, previews=False)
    body = b'{"id": "t-1", "polling_url": "https://%s/v1/get_result?id=t-1", "cost": 3}'

    def accept(host: bytes) -> str:
        return vendor.submitted(
            JOB, HttpResponse(status=200, content=body % host)
        ).reference

    assert accept(b"api.eu2.bfl.ai") == "t-1@api.eu2.bfl.ai"
    request = next(iter(vendor.poll("t-1@api.eu2.bfl.ai")))
    assert request.path == "https://api.eu2.bfl.ai/v1/get_result"
    assert request.query == {"id": "t-1"}
    # The key is not sent to another host: the task is polled where it was submitted.
    assert accept(b"api.bfl.ai.evil.example") == "t-1"
    assert next(iter(vendor.poll("t-1"))).path == "v1/get_result"


@pytest.mark.parametrize("status", ["Pending", "Reasoning", "Generating", "Thinking"])
def test_an_unknown_state_is_not_an_end(status: str) -> None:
    task = Task(status=status, progress=0.4)
    running = read_status(task, JOB, "m", reference="t-1", charged=None)

    assert isinstance(running, JobRunning)
    assert running.fraction == 0.4


@pytest.mark.parametrize(
    ("more", "minutes"),
    [
        ({"end_time": datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp()}, 10),
        ({"sample": f"{READY['sample']}?se=2026-11-30T11%3A00%3A00Z&sig=x"}, 60),
        ({}, None),
        ({"end_time": 1e300}, None),
    ],
)
def test_knows_how_long_an_image_is_kept(
    more: dict[str, object], minutes: int | None
) -> None:
    task = Task(status="Ready", result={**READY, **more})
    done = read_status(task, JOB, "m", reference="t-1", charged=None)

    assert isinstance(done, JobSucceeded)
    end = datetime(2026, 11, 30, 10, tzinfo=UTC)
    expected = None if minutes is None else end + timedelta(minutes=minutes)
    assert done.outputs[0].kept_until == expected


@pytest.mark.parametrize(
    ("http", "status", "details", "error", "words"),
    [
        (
            200,
            "Request Moderated",
            {"Moderation Reasons": ["Derivative Works Filter"]},
            Refused,
            r"refuses the request because of its content: .*Derivative Works Filter",
        ),
        (200, "Content Moderated", None, Refused, "withholds the image"),
        (503, "Error", "generation failed", BackendError, "image: generation failed"),
        (200, "Failed", None, BackendError, "failed to make the image"),
        (200, "Ready", None, BackendError, "without an image"),
        (404, "Task not found", None, Unfinished, "BFL has no such task"),
        (503, "", None, Unfinished, "not available for 60 s"),
    ],
)
def test_explains_a_task_that_has_ended(
    http: int, status: str, details: object, error: type[ImagenError], words: str
) -> None:
    def respond(request: RecordedRequest) -> StubResponse:
        body = {"id": request.query["id"], "status": status or None, "details": details}
        return StubResponse(status=http, json=body)

    with bfl(answers={"poll": respond}) as served, pytest.raises(error, match=words):
        served.generate()


@pytest.mark.parametrize(
    ("status", "detail", "error", "words"),
    [
        (402, "Insufficient credits", OutOfCredit, "Insufficient credits"),
        (403, "Not authenticated", Unauthorized, "Not authenticated"),
        (429, "too many active tasks", Throttled, "too many active tasks"),
        (400, "Image exceeds 16 megapixels", BackendError, "exceeds 16 megapixels"),
        (
            422,
            [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}],
            Refused,
            "refused the inputs: seed: Extra inputs are not permitted",
        ),
    ],
)
def test_explains_a_refused_task(
    status: int, detail: object, error: type[ImagenError], words: str
) -> None:
    answer = StubResponse(status=status, json={"detail": detail})
    with (
        bfl(answers={"submit": answer}) as served,
        pytest.raises(error, match=words) as raised,
    ):
        served.generate()

    assert raised.value.used == UNTOUCHED


def test_checks_the_key_and_counts_the_credits(served: Served) -> None:
    (result,) = served.backend.check(RecordingContext())

    assert (result.name, result.ready, result.note) == ("BFL", True, "995.2 credits")

"""What fal receives, and what its responses mean."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from msgspec import structs
from tests.integration.fal.stub import SCHNELL, SKETCH, FalStub
from tests.integration.served import JOB, Served, serve

from imagen.adapters.backends.fal.adapter import adapter
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.money.cost import Cost
from imagen.testing import RecordedRequest, StubResponse
from imagen.testing.fakes import RecordingContext
from imagen.testing.proxy import StagedResponse

PAST = datetime(2000, 1, 1, tzinfo=UTC)


def fal(
    stub: FalStub | None = None,
    answers: dict[str, StagedResponse] | None = None,
    **more: object,
) -> AbstractContextManager[Served]:
    return serve(
        adapter,
        stub or FalStub(),
        answers,
        secrets={"api_key_env": "fal-canary"},
        **{"model": SKETCH, "platform_url": "{url}/v1", **more},
    )


@pytest.fixture
def served() -> Iterator[Served]:
    with fal() as served:
        yield served


class Changed(FalStub):
    """fal with other fields in its results, or without a running job."""

    def __init__(self, **fields: object) -> None:
        super().__init__()
        self.fields = fields

    def send_result(self, id_: str, job: dict) -> StubResponse:
        response = super().send_result(id_, job)
        return structs.replace(response, json={**response.json, **self.fields})


def test_asks_fal_for_this_model_once_and_in_time() -> None:
    with fal(file_lifetime=86400) as served:
        served.generate(timeout=90.5)

        (request,) = served.proxy.submits
    assert request.path == "/acme/sketch/v2"
    assert request.headers["authorization"] == "Key fal-canary"
    assert request.headers["x-app-fal-disable-fallback"] == "true"
    assert request.headers["x-fal-no-retry"] == "1"
    assert request.headers["x-fal-request-timeout"] == "91"
    lifetime = request.headers["x-fal-object-lifecycle-preference"]
    assert lifetime == '{"expiration_duration_seconds":86400}'
    assert request.json() == {
        "prompt": "a lighthouse in fog",
        "seed": 7,
        "image_size": {"width": 512, "height": 256},
    }


def test_reports_what_fal_charged(served: Served) -> None:
    generated = served.generate()

    assert generated.cost == Cost(micros=40_000, source="metered")
    assert generated.used.megapixels == 2
    assert generated.parameters == {"request": served.context.references[0][21:]}
    assert generated.images[0].seed == 7


def test_measures_a_model_of_the_table_in_its_own_unit() -> None:
    with fal(model=SCHNELL) as served:
        generated = served.generate()

        asked = [one.path for one in served.proxy.requests if "/v1/" in one.path]
    assert (generated.cost, generated.used.megapixels) == (Cost(), 2)
    assert asked == []


def test_states_the_price_of_a_model_that_was_looked_up(served: Served) -> None:
    can = served.backend.capabilities_of("", RecordingContext())

    (price,) = can.prices
    assert (price.model, price.price.words) == (SKETCH, "$0.02 a megapixel")
    assert can.references == 3
    assert can.mask
    assert can.sizes.largest == 2048
    assert "sync_mode" not in can.parameters
    with pytest.raises(InvalidRequest, match=r"fal has no model acme/unknown\."):
        served.backend.capabilities_of("acme/unknown", RecordingContext())


def test_records_the_prompt_that_was_drawn() -> None:
    with fal(Changed(prompt="A tall lighthouse", seed=11)) as served:
        generated = served.generate()

    assert generated.parameters["revised_prompt"] == "A tall lighthouse"
    assert generated.images[0].seed == 11


@pytest.mark.parametrize("name", ["has_nsfw_concepts", "nsfw_content_detected"])
def test_refuses_a_black_image(name: str) -> None:
    with (
        fal(Changed(**{"has_nsfw_concepts": None, name: [True]})) as served,
        pytest.raises(Refused, match="fal withheld the image") as raised,
    ):
        served.generate()

    # It was drawn, and so it is charged.
    assert (raised.value.used.images, raised.value.used.megapixels) == (1, 2)


def test_keeps_an_unsafe_image_that_was_asked_for() -> None:
    with fal(Changed(has_nsfw_concepts=[True])) as served:
        generated = served.generate(options={"enable_safety_checker": False})

    assert len(generated.images) == 1


def test_keeps_the_others_if_one_image_is_withheld() -> None:
    with fal(Changed(has_nsfw_concepts=[False, True])) as served:
        generated = served.generate(count=2)

    assert len(generated.images) == 1
    assert generated.deleted == {1: "fal withheld the image because of its content."}


@pytest.mark.parametrize(
    ("kind", "words", "free"),
    [
        ("request_timeout", "did not start the job in time", True),
        ("runner_disconnected", "failed to make the image: It broke", True),
        ("generation_failed", "failed to make the image: It broke", False),
    ],
)
def test_a_job_that_is_completed_may_have_failed(
    kind: str, words: str, *, free: bool
) -> None:
    failed = {"status": "COMPLETED", "error": "It broke", "error_type": kind}
    with (
        fal(answers={"poll": StubResponse(json=failed)}) as served,
        pytest.raises(BackendError, match=words) as raised,
    ):
        served.generate()

    assert (raised.value.used == UNTOUCHED) == free


def test_keeps_an_image_of_a_job_that_is_said_to_have_failed() -> None:
    class Failed(FalStub):
        def report(self, id_: str, job: dict) -> StubResponse:
            body = {"request_id": id_, "status": "COMPLETED", "error": "It broke"}
            return StubResponse(json=body)

    with fal(Failed()) as served:
        generated = served.generate()

    assert len(generated.images) == 1


def test_a_job_that_was_removed_from_the_queue_has_ended() -> None:
    def respond(request: RecordedRequest) -> StubResponse:
        served.context.stop()
        return StubResponse(status=202, json={"status": "IN_QUEUE"})

    removed = StubResponse(json={"status": "OK"})
    with (
        fal(answers={"poll": respond, "cancel": removed}) as served,
        pytest.raises(Cancelled) as raised,
    ):
        served.generate()

    assert raised.value.settled


def test_finds_no_job_while_its_inputs_are_not_shown(served: Served) -> None:
    served.generate()
    stub = served.proxy.stub
    assert isinstance(stub, FalStub)
    (job,) = stub.jobs.values()
    job["ended"] = False

    with pytest.raises(Unavailable, match="does not show the inputs of a running job"):
        served.backend.find(JOB, since=PAST, context=RecordingContext())


def test_polls_a_workflow_under_three_words() -> None:
    with fal(model="workflows/ada/poster") as served:
        served.generate()

        assert served.context.references[0].startswith("workflows/ada/poster/requests/")


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, {"detail": "No credentials"}, Unauthorized, "No credentials"),
        (
            403,
            {"detail": "User is locked. Reason: Exhausted balance."},
            OutOfCredit,
            "account at fal is locked",
        ),
        (404, {"detail": "Application not found"}, InvalidRequest, "Application not"),
        (429, {"detail": "Too many requests"}, Throttled, "Too many requests"),
        (
            422,
            {"detail": [{"loc": ["body", "image_size", "width"], "msg": "too large"}]},
            Refused,
            "refused the inputs: image_size.width: too large",
        ),
        (
            422,
            [{"msg": "no", "type": "content_policy_violation", "categories": ["hate"]}],
            Refused,
            "rejects the content of the request: no .hate",
        ),
        (502, b"<html>nginx</html>", Unfinished, "may have accepted the job"),
    ],
)
def test_explains_a_refused_job(
    status: int, body: object, error: type[ImagenError], words: str
) -> None:
    text = body if isinstance(body, bytes) else None
    answer = StubResponse(
        status=status, json=body if text is None else None, content=text
    )
    with fal(answers={"submit": answer}) as served:
        with pytest.raises(error, match=words) as raised:
            served.generate()

        assert len(served.proxy.submits) == 1
    assert (raised.value.used == UNTOUCHED) == (error is not Unfinished)


def test_checks_the_key_and_then_the_model(served: Served) -> None:
    results = served.backend.check(RecordingContext())

    assert [(each.name, each.ready) for each in results] == [
        ("fal", True),
        (f"model {SKETCH}", True),
    ]
    assert served.proxy.submits == []

"""The adapter and the simulator, held against what Replicate was seen to answer.

The folder `recordings` has small recordings; each file names its sources.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.integration.replicate.models import PRO, SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.trouble import INTERRUPTED, NSFW

from imagen.adapters.backends.replicate.errors import to_error
from imagen.adapters.backends.replicate.prediction import (
    Prediction,
    explain_failure,
    list_outputs,
    read_usage,
)
from imagen.adapters.remote.models.inputs import AttachedImages, build_model_inputs
from imagen.adapters.remote.models.schema import read_fields
from imagen.adapters.remote.vendor import HttpResponse
from imagen.domain.errors import BackendError, ImagenError, Refused
from imagen.domain.job import ImageJob
from imagen.domain.size import Size


def recorded(name: str) -> dict[str, Any]:
    path = Path(__file__).parent / "recordings" / f"{name}.json"
    entries: dict[str, Any] = json.loads(path.read_text("utf-8"))
    entries.pop("note")
    return entries


PREDICTIONS = recorded("predictions")
ERRORS = recorded("http_errors")
MODELS = recorded("model_inputs")


# The adapter


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_is_read(name: str) -> None:
    answer = PREDICTIONS[name]

    prediction = msgspec.json.decode(msgspec.json.encode(answer), type=Prediction)
    files = list_outputs(prediction)

    assert bool(files) == bool(answer["output"])
    if prediction.is_finished and not files:
        assert isinstance(explain_failure(prediction), (BackendError, Refused))
    if prediction.status == "succeeded":
        assert read_usage(prediction).seconds == answer["metrics"]["predict_time"]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_response_is_read(name: str) -> None:
    answer = ERRORS[name]
    response = HttpResponse(
        status=answer["status"],
        content=msgspec.json.encode(answer["body"]),
        headers=answer.get("headers") or {},
    )

    error = to_error(response, "Replicate")

    # For the usual error of a status, only the words are Replicate's.
    assert isinstance(error, ImagenError) or (
        answer["status"] in {401, 402, 500}
        and error == answer["body"]["detail"].rstrip(".")
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gets_only_inputs_that_it_has(name: str) -> None:
    model = MODELS[name]
    properties = {
        key: {**value, "x-order": order}
        for order, (key, value) in enumerate(model["input"].items())
    }
    schema = {"components": {"schemas": {"Input": {"properties": properties}}}}
    inputs = build_model_inputs(read_fields(schema))
    can = inputs.capabilities(name, models=None)
    job = ImageJob(
        number=1,
        prompt="a cat",
        size=can.sizes.nearest(Size(1536, 768)),
        seed=can.largest_seed,
        media_type=can.formats[-1] if can.formats else None,
        timeout=60,
    )

    sent = inputs.build_payload(job, {}, AttachedImages())

    assert set(sent) <= set(properties)
    assert (can.largest_seed is not None) == model["has_seed"]


# The simulator

# The recordings were shortened: not every one has the times and the figures.
INCOMPLETE = {"deadline", "started_at", "completed_at", "metrics"}


@pytest.fixture
def client(server: ReplicateServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        yield client


def create(
    client: httpx.Client, model: str = SCHNELL, *, wait: str = "", **given: object
) -> httpx.Response:
    return client.post(
        f"/models/{model}/predictions",
        json={"input": given},
        headers={"Prefer": wait} if wait else {},
    )


def assert_like(answer: Any, recording: str) -> None:
    """Check that the answer has the keys and types of the recording."""
    expected = PREDICTIONS[recording]
    assert answer.keys() - INCOMPLETE == expected.keys() - INCOMPLETE
    for key in answer.keys() & expected.keys():
        if key != "logs":  # empty or null, which differs from model to model
            assert type(answer[key]) is type(expected[key]), key
    assert answer["urls"].keys() <= expected["urls"].keys()
    assert answer["status"] == expected["status"]


@pytest.mark.parametrize(
    ("recording", "trouble", "polls"),
    [
        ("created_async_201", {}, 0),
        ("processing_with_tqdm_logs", {}, 1),
        ("succeeded", {}, 2),
        ("succeeded_data_removed", {"removed": True}, 2),
        ("aborted_deadline_before_start", {"ends": "aborted"}, 2),
        ("failed_nsfw_cog", {"ends": "failed", "error": NSFW}, 2),
        ("failed_interrupted_PA", {"ends": "failed", "error": INTERRUPTED}, 2),
    ],
)
def test_the_simulator_polls_as_recorded(
    server: ReplicateServer,
    client: httpx.Client,
    recording: str,
    trouble: dict[str, object],
    polls: int,
) -> None:
    server.trouble(**trouble)

    response = create(client, prompt="a red fox")
    for _ in range(polls):
        response = client.get(f"/predictions/{response.json()['id']}")

    assert response.status_code == (200 if polls else 201)
    assert_like(response.json(), recording)
    assert response.json()["error"] == PREDICTIONS[recording]["error"]


def test_the_simulator_cancels_as_recorded(
    server: ReplicateServer, client: httpx.Client
) -> None:
    server.trouble(never_ends=True)
    prediction = create(client, prompt="a red fox").json()
    client.get(f"/predictions/{prediction['id']}")

    cancelled = client.post(f"/predictions/{prediction['id']}/cancel")

    assert_like(cancelled.json(), "canceled")


@pytest.mark.parametrize(
    ("recording", "model", "output"),
    [
        ("wait_done_201_status_processing_output_list", SCHNELL, "usual"),
        ("wait_done_201_status_processing_output_string", PRO, "usual"),
        ("wait_done_201_output_data_uri", SCHNELL, "data"),
    ],
)
def test_the_simulator_waits_as_recorded(
    server: ReplicateServer,
    client: httpx.Client,
    recording: str,
    model: str,
    output: str,
) -> None:
    server.trouble(output=output)

    response = create(client, model, wait="wait=5", prompt="a red fox")

    assert response.status_code == 201
    assert_like(response.json(), recording)


def test_the_simulator_refuses_as_recorded(
    server: ReplicateServer, client: httpx.Client
) -> None:
    answers = {
        "404": client.get("/predictions/unknown"),
        "422_version": client.post(
            "/predictions", json={"version": "0" * 64, "input": {}}
        ),
        "422_required": create(client),
        "422_enum": create(client, prompt="a", aspect_ratio="9:1"),
        "422_additional": create(client, prompt="a", colour="red"),
    }
    for recording, status in (("402", 402), ("429_low_credit", 429)):
        server.trouble(refuses_with=status, waits=5)
        answers[recording] = create(client, prompt="a")
    server.token = "another"
    answers["401"] = client.get("/account")

    for recording, answer in answers.items():
        expected = ERRORS[recording]
        assert answer.status_code == expected["status"], recording
        assert answer.json().keys() == expected["body"].keys(), recording
        assert answer.json().get("title") == expected["body"].get("title")
    (fault,) = answers["422_required"].json()["invalid_fields"]
    assert fault == ERRORS["422_required"]["body"]["invalid_fields"][0]

"""Why Gemini returns no image, and what becomes of the job."""

from typing import Any

import pytest
from tests.integration.gemini.conftest import (
    CONTENT,
    DONE,
    MODEL,
    RESULT,
    Generate,
    answer,
    bodies,
    connect,
    interaction,
    part,
    photo,
)
from tests.integration.remote.server import (
    Recorded,
    Reply,
    ScriptedServer,
    json_reply,
)

from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import (
    BackendError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unfinished,
)
from imagen.domain.size import Size
from imagen.testing.fakes import RecordingContext

# No image


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            {"promptFeedback": {"blockReason": "OTHER"}},
            Refused,
            "Gemini refuses the image (OTHER).",
        ),
        (
            {"candidates": [{"finishReason": "IMAGE_PROHIBITED_CONTENT"}]},
            Refused,
            "Gemini refuses the image (IMAGE_PROHIBITED_CONTENT).",
        ),
        (
            answer(finishReason="IMAGE_SAFETY", finishMessage="not shown"),
            Refused,
            "Gemini refuses the image (IMAGE_SAFETY): not shown.",
        ),
        (
            answer({"text": "I cannot draw that."}, finishReason="NO_IMAGE"),
            BackendError,
            "Gemini returned no image (NO_IMAGE): I cannot draw that.",
        ),
        (
            answer({"text": "Here it is:"}, finishReason="STOP"),
            BackendError,
            "Gemini returned no image: Here it is:.",
        ),
        (
            {"candidates": [{"finishReason": "SOMETHING_NEW"}]},
            BackendError,
            "Gemini returned no image (SOMETHING_NEW).",
        ),
    ],
)
def test_an_answer_without_an_image_says_why(
    generate: Generate, reply: dict[str, object], kind: type, words: str
) -> None:
    usage = {"promptTokenCount": 6, "totalTokenCount": 6}
    failure = generate(json_reply({**reply, "usageMetadata": usage}), options=CONTENT)

    assert type(failure) is kind
    assert failure.message == words
    assert failure.used.tokens["input_text"] == 6


@pytest.mark.parametrize(
    ("status", "fields", "kind", "words"),
    [
        (
            "failed",
            {"errors": [{"code": "IMAGE_SAFETY", "message": "no"}]},
            Refused,
            "Gemini refuses the image (IMAGE_SAFETY): no.",
        ),
        ("failed", {"errors": [{"code": "x", "message": "y"}]}, BackendError, "(x): y"),
        ("budget_exceeded", {}, BackendError, "(budget_exceeded)"),
        ("requires_action", {}, BackendError, "(requires_action)"),
        (
            "completed",
            {"steps": [{"type": "model_output", "content": [{"text": "No."}]}]},
            BackendError,
            "returned no image: No.",
        ),
    ],
)
def test_an_interaction_without_an_image_says_why(
    generate: Generate,
    status: str,
    fields: dict[str, object],
    kind: type,
    words: str,
) -> None:
    failure = generate(
        json_reply(interaction("queued")), json_reply(interaction(status, **fields))
    )

    assert type(failure) is kind
    assert words in failure.message
    assert failure.used == Used()


def test_a_status_that_is_new_is_waited_for(generate: Generate) -> None:
    made = generate(
        json_reply(interaction("in_progress")),
        json_reply(interaction("polishing")),
        DONE,
    )

    assert [image.content for image in made.images] == [RESULT]


# Errors


def problem(
    code: int, status: str, message: str, *details: object
) -> dict[str, object]:
    error = {"code": code, "message": message, "status": status, "details": details}
    return {"error": error}


def quota(name: str, **fields: str) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": name, **fields}],
    }


INVALID_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
EXHAUSTED = "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            problem(400, "INVALID_ARGUMENT", "API key not valid.", INVALID_KEY),
            Unauthorized,
            "Gemini does not accept the key: API key not valid.",
        ),
        (
            problem(400, "FAILED_PRECONDITION", "Billing is off."),
            Unauthorized,
            "Gemini does not serve this account: Billing is off.",
        ),
        (problem(403, "PERMISSION_DENIED", "no permission"), Unauthorized, "no p"),
        (
            problem(429, EXHAUSTED, "slow down", quota("RequestsPerMinute"), RETRY),
            Throttled,
            "Retry after 34.5 s.",
        ),
        ([problem(429, EXHAUSTED, "in a list")], Throttled, "in a list"),
        (
            problem(429, EXHAUSTED, "over", quota("RequestsPerDayPerProject"), RETRY),
            OutOfCredit,
            "The quota at Gemini for this model is used up: over.",
        ),
        (
            problem(429, EXHAUSTED, "none", quota("PerMinute", quotaValue="0")),
            OutOfCredit,
            "is used up: none.",
        ),
        (problem(503, "UNAVAILABLE", "overloaded"), Unfinished, "HTTP 503"),
        (problem(504, "DEADLINE_EXCEEDED", "deadline"), Unfinished, "HTTP 504"),
        (problem(499, "CANCELLED", "cancelled"), Unfinished, "HTTP 499"),
    ],
)
def test_an_error_has_its_class_and_is_not_tried_again(
    server: ScriptedServer,
    generate: Generate,
    body: Any,
    kind: type,
    words: str,
) -> None:
    first = body[0] if isinstance(body, list) else body
    failure = generate(json_reply(body, first["error"]["code"]))

    assert isinstance(failure, kind)
    assert words in failure.message
    assert (failure.used == UNTOUCHED) is (kind is not Unfinished)
    assert len(server.requests) == 1


# The other interface


def test_what_has_no_interactions_is_sent_to_generate_content(
    server: ScriptedServer, generate: Generate
) -> None:
    made = generate(
        json_reply(
            problem(400, "INVALID_ARGUMENT", "background is not supported"), 400
        ),
        json_reply({"name": f"models/{MODEL}"}),
        json_reply(answer(part(RESULT))),
        images=(photo(),),
    )

    (body,) = bodies(server, f"/v1beta/models/{MODEL}:generateContent")
    assert [image.content for image in made.images] == [RESULT]
    assert len(body["contents"][0]["parts"]) == 2


def test_the_second_refusal_is_the_error(
    server: ScriptedServer, generate: Generate
) -> None:
    refused = json_reply(problem(400, "INVALID_ARGUMENT", "The prompt is long."), 400)
    failure = generate(refused, json_reply({"name": MODEL}), refused)

    assert isinstance(failure, InvalidRequest)
    assert failure.used == UNTOUCHED
    assert failure.message == "Gemini rejects the request: The prompt is long."


def test_a_model_that_was_shut_down_has_a_successor(
    server: ScriptedServer, generate: Generate
) -> None:
    gone = json_reply(problem(404, "NOT_FOUND", "models/x is not found"), 404)
    failure = generate(gone, gone, model="gemini-3.1-flash-image")

    assert isinstance(failure, InvalidRequest)
    assert failure.message == "Gemini has no model 'gemini-3.1-flash-image'."
    assert failure.hint == "It was shut down; use gemini-nano-banana-2.1."
    assert len(server.sent("POST", "/")) == 1


def test_a_lost_answer_of_generate_content_is_not_asked_for_again(
    server: ScriptedServer, generate: Generate
) -> None:
    failure = generate(Reply(dropped=True), options=CONTENT)

    assert isinstance(failure, Unfinished)
    assert len(server.requests) == 1


# Models


def test_a_model_that_is_not_in_the_table_is_asked_for(server: ScriptedServer) -> None:
    def reply(request: Recorded) -> Reply:
        found = request.path.endswith("/gemini-9-image")
        return json_reply({}, 200 if found else 404)

    server.answer = reply
    backend = connect(server)
    found = backend.capabilities_of("gemini-9-image", RecordingContext())
    with pytest.raises(InvalidRequest, match="has no model 'gemini-0'"):
        backend.capabilities_of("gemini-0", RecordingContext())
    known = backend.capabilities_of("gemini-3-pro-image", RecordingContext())
    backend.close()

    assert "gemini-9-image" in found.models
    assert (known.references, known.provider) == (14, "google")
    assert len(server.requests) == 2


def test_the_sizes_are_those_of_the_table(server: ScriptedServer) -> None:
    backend = connect(server)
    sizes = backend.capabilities().sizes.choices

    assert len(sizes) == 3 * 14
    assert {Size(12288, 1536), Size(1696, 2528), Size(1584, 672)} <= set(sizes)
    assert Size(512, 512) not in sizes

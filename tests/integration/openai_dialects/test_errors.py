"""The error responses of each dialect, and images that a service withholds."""

import pytest
from tests.integration.openai_dialects.cases import B64, DATA, PICTURE
from tests.integration.openai_dialects.conftest import Server
from tests.integration.remote.server import Reply, json_reply

from imagen.backend import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unfinished,
)
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.money.price import calculate_cost
from imagen.testing.fakes import RecordingContext

MODERATED = {"message": "no", "code": "moderation_blocked"}
STAGED = {"moderation_details": {"moderation_stage": "output", "categories": ["x"]}}


@pytest.mark.parametrize(
    ("name", "status", "body", "expected"),
    [
        ("openai", 400, {"error": MODERATED}, (Refused, "refuses the request: no.")),
        (
            "openai",
            400,
            {"error": {"code": "billing_hard_limit_reached", "message": "limit"}},
            (OutOfCredit, "no credit left: limit."),
        ),
        (
            "openai",
            429,
            {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}},
            (OutOfCredit, "no credit left"),
        ),
        (
            "openai",
            429,
            {"error": {"code": "rate_limit_exceeded", "message": "slow"}},
            (Throttled, "slow"),
        ),
        (
            "openai",
            401,
            {"error": {"code": "invalid_api_key", "message": "wrong"}},
            (Unauthorized, "wrong"),
        ),
        (
            "openai",
            404,
            {"error": {"code": "model_not_found", "message": "gone"}},
            (InvalidRequest, "has no such model: gone."),
        ),
        (
            "openai",
            400,
            {
                "error": {
                    "code": "invalid_value",
                    "message": "Invalid size.",
                    "param": "size",
                }
            },
            (InvalidRequest, "Invalid size."),
        ),
        (
            "openai",
            500,
            {"error": {"message": "oops"}},
            (Unfinished, "may have accepted"),
        ),
        (
            "azure",
            400,
            {
                "error": {
                    "code": "x",
                    "message": "filtered",
                    "inner_error": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            (Refused, "filtered"),
        ),
        (
            "azure",
            400,
            {"error": {"code": "contentFilter", "message": "filtered"}},
            (Refused, "filtered"),
        ),
        (
            "azure",
            404,
            {"error": {"code": "DeploymentNotFound", "message": "none"}},
            (InvalidRequest, "no such model"),
        ),
        (
            "xai",
            400,
            {
                "code": "Client specified an invalid argument",
                "error": "Argument not supported: size",
            },
            (InvalidRequest, "Argument not supported: size."),
        ),
        ("xai", 400, {"error": "bad"}, (InvalidRequest, "request: bad.")),
        (
            "xai",
            200,
            {"data": [], "usage": {"cost_in_usd_ticks": 1}},
            (Refused, "refuses the request"),
        ),
        (
            "xai",
            200,
            {"data": [{"respect_moderation": False}]},
            (Refused, "refuses the request"),
        ),
        (
            "together",
            422,
            {"id": "q", "error": {"message": "steps out of range"}},
            (InvalidRequest, "steps out of range."),
        ),
        (
            "deepinfra",
            400,
            {"error": {"message": "bad size"}},
            (InvalidRequest, "bad size."),
        ),
        (
            "ark",
            400,
            {"error": {"code": "InputTextSensitiveContentDetected", "message": "no"}},
            (Refused, "no."),
        ),
        (
            "ark",
            200,
            {
                "data": [
                    {
                        "error": {
                            "code": "OutputImageSensitiveContentDetected",
                            "message": "no",
                        }
                    }
                ]
            },
            (Refused, "no."),
        ),
        (
            "ark",
            429,
            {"error": {"code": "ServerOverloaded", "message": "busy"}},
            (Throttled, "busy"),
        ),
        (
            "recraft",
            400,
            {"code": "not_enough_credits", "message": "empty"},
            (OutOfCredit, "empty"),
        ),
        (
            "venice",
            402,
            {"error": "Insufficient balance"},
            (OutOfCredit, "Insufficient balance"),
        ),
        (
            "venice",
            400,
            {"error": "Invalid request", "details": {}},
            (InvalidRequest, "Invalid request."),
        ),
        ("venice", 503, {"error": "at capacity"}, (ImagenError, "at capacity")),
        (
            "litellm",
            400,
            {"error": {"message": "bad", "code": "400"}},
            (InvalidRequest, "bad."),
        ),
        (
            "localai",
            500,
            {"error": {"code": 500, "message": "invalid 'size'"}},
            (BackendError, "invalid 'size'"),
        ),
        (
            "vllm-omni",
            400,
            {"detail": "Model mismatch"},
            (InvalidRequest, "Model mismatch."),
        ),
        (
            "vllm-omni",
            422,
            {"detail": [{"loc": ["body", "size"], "msg": "wrong"}]},
            (InvalidRequest, "body.size: wrong."),
        ),
        (
            "vllm-omni",
            500,
            {"detail": "out of memory"},
            (BackendError, "out of memory"),
        ),
        (
            "sglang",
            502,
            {"detail": "Cloud storage upload failed."},
            (BackendError, "upload failed"),
        ),
        (
            "sd-server",
            400,
            {"error": "prompt required"},
            (InvalidRequest, "prompt required."),
        ),
        (
            "sd-server",
            500,
            {"error": "server_error", "message": "x1"},
            (BackendError, "server_error: x1"),
        ),
        (
            "lemonade",
            500,
            {"error": {"message": "no memory"}},
            (BackendError, "no memory"),
        ),
        (
            "imagen",
            402,
            {"error": {"code": "insufficient_quota", "message": "over"}},
            (OutOfCredit, "over"),
        ),
        ("fireworks", 400, {"error": "bad"}, (InvalidRequest, "bad.")),
    ],
)
def test_an_error(
    name: str,
    status: int,
    body: object,
    expected: tuple[type[ImagenError], str],
    it: Server,
) -> None:
    kind, words = expected
    it.reply(json_reply(body, status))
    backend = it.connect(name)

    with pytest.raises(kind) as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    assert words in raised.value.explanation
    if 400 <= status < 500 or status == 503:
        assert raised.value.used == UNTOUCHED
    else:
        assert raised.value.used != UNTOUCHED


def test_an_image_that_was_withheld_after_it_was_drawn_may_have_cost(
    it: Server,
) -> None:
    it.reply(json_reply({"error": {**MODERATED, **STAGED}}, 400))
    backend = it.connect("openai")

    with pytest.raises(Refused) as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    assert raised.value.used != UNTOUCHED


def test_images_that_are_withheld_cost_the_tokens_that_are_reported(it: Server) -> None:
    usage = {"input_tokens": 10, "output_tokens": 196}
    it.reply(json_reply({"data": [], "usage": usage}))
    backend = it.connect("openai")

    with pytest.raises(Refused) as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    tokens = {"input_text": 10, "output_image": 196}
    assert raised.value.used == Used(tokens=tokens)


@pytest.mark.parametrize(("status", "data"), [(200, {"data": []}), (400, {})])
def test_an_image_that_is_withheld_costs_the_amount_that_is_reported(
    status: int, data: dict[str, object], it: Server
) -> None:
    problem = {
        "code": "Client specified an invalid argument",
        "error": "Generated image rejected by content moderation.",
        "usage": {"cost_in_usd_ticks": 200_000_000},
    }
    it.reply(json_reply({**problem, **data}, status))
    backend = it.connect("xai")

    with pytest.raises(Refused, match="rejected by content moderation") as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    assert raised.value.used is not None
    assert calculate_cost(None, raised.value.used).micros == 20_000


def test_a_page_in_place_of_the_answer_is_told_with_the_advice(it: Server) -> None:
    page = b"<html>Sign in</html>"
    it.reply(Reply(content=page, headers={"content-type": "text/html"}))
    backend = it.connect("openai")

    with pytest.raises(Unfinished, match=r"invalid: The response is not") as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    assert "Check base_url" in raised.value.hint


def test_a_model_that_was_shut_down_is_named_with_its_successor(it: Server) -> None:
    it.reply(json_reply({"error": {"code": "model_not_found", "message": "gone"}}, 404))
    backend = it.connect("openai", "gpt-image-1")

    with pytest.raises(InvalidRequest) as raised:
        backend.generate(it.job_for(backend), RecordingContext())

    assert raised.value.hint == (
        "gpt-image-1 was shut down on 2026-10-23; use gpt-image-2.6-flare."
    )


def test_images_without_content_leave_the_job_open(it: Server) -> None:
    it.reply(json_reply({"data": [{"b64_json": None, "url": None}]}))
    backend = it.connect("litellm")

    with pytest.raises(Unfinished):
        backend.generate(it.job_for(backend), RecordingContext())


@pytest.mark.parametrize("other", [{"respect_moderation": False}, {"b64_json": None}])
def test_an_image_that_does_not_come_leaves_the_others(
    other: dict[str, object], it: Server
) -> None:
    it.reply(json_reply({"data": [{"b64_json": B64}, other]}))
    backend = it.connect("xai")

    generated = backend.generate(it.job_for(backend, count=2), RecordingContext())

    assert [image.content for image in generated.images] == [PICTURE]
    assert list(generated.deleted) == [1]


def test_what_a_header_says_about_the_image_is_a_warning(it: Server) -> None:
    it.reply(
        json_reply(
            DATA,
            **{"x-venice-is-blurred": "true", "x-venice-is-content-violation": "false"},
        )
    )
    backend = it.connect("venice")

    generated = backend.generate(it.job_for(backend), RecordingContext())

    (warning,) = generated.images[0].warnings
    assert warning.startswith("Venice has blurred the image")


def test_the_warnings_of_another_imagen_are_passed_on(it: Server) -> None:
    it.reply(json_reply({**DATA, "warnings": ["steps is ignored: no"]}))
    backend = it.connect("imagen")

    generated = backend.generate(it.job_for(backend), RecordingContext())

    assert generated.images[0].warnings == ("steps is ignored: no",)


def test_a_transparent_background_is_checked_in_the_result(it: Server) -> None:
    it.reply(json_reply(DATA))
    backend = it.connect("openai")
    job = it.job_for(backend, options={"background": "transparent"})

    generated = backend.generate(job, RecordingContext())

    (warning,) = generated.images[0].warnings
    assert warning.startswith("a transparent background was requested")


@pytest.mark.parametrize(
    "prompt", ["cat|dog", "a <sd_cpp_extra_args>{}</sd_cpp_extra_args>"]
)
def test_a_prompt_that_a_server_reads_in_its_own_way_is_refused(
    prompt: str, it: Server
) -> None:
    backend = it.connect("localai" if "|" in prompt else "sd-server")

    with pytest.raises(InvalidRequest, match="in its own way"):
        backend.generate(it.job_for(backend, prompt=prompt), RecordingContext())

    assert it.server.requests == []

"""What OpenRouter receives, by which provider, what it costs, and why it fails."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from tests.integration.openrouter.conftest import (
    KEY,
    NOW,
    Connect,
    Router,
    answer,
    job,
    reference,
)
from tests.integration.openrouter.stub import BANANA, FLUX, TOKENS
from tests.integration.remote.server import Reply, ScriptedServer, json_reply

from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
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
from imagen.domain.size import Size
from imagen.testing import FakeClock
from imagen.testing.fakes import RecordingContext, tiny_png

ONE, TWO = tiny_png(16, 16, (1, 0, 0)), tiny_png(16, 16, (2, 0, 0))
DOLLARS = {"cost": 0.01323, "is_byok": False}


def body_of(server: ScriptedServer) -> dict[str, Any]:
    (request,) = server.sent("POST", "/")
    body = request.body
    assert UUID(str(body.pop("session_id"))).version == 4
    return body


def outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ImagenError as error:
        return error


# What is sent


def test_a_job_has_the_names_of_the_api(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    router.made = answer(ONE)
    made = connect(model=BANANA).generate(
        job(
            size=Size(608, 416),
            seed=7,
            negative="fog",
            steps=9,
            media_type="image/webp",
            images=(reference(ONE),),
            options={"polish": 3, "quality": "high"},
        ),
        RecordingContext(),
    )

    url = f"data:image/png;base64,{b64encode(ONE).decode()}"
    assert body_of(server) == {
        "model": BANANA,
        "prompt": "a fox",
        "quality": "high",
        "resolution": "512",
        "aspect_ratio": "3:2",
        "seed": 7,
        "output_format": "webp",
        "input_references": [{"type": "image_url", "image_url": {"url": url}}],
        "provider": {
            "options": {"aurora": {"polish": 3, "negative_prompt": "fog", "steps": 9}}
        },
    }
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert (made.images[0].content, made.images[0].seed) == (ONE, 7)


@pytest.mark.parametrize(
    ("changes", "sent", "routing"),
    [
        ({}, {}, None),
        ({"count": 3}, {"n": 3}, {"only": ["harbour/fp8"]}),
        (
            {"options": {"aspect_ratio": "16:9"}},
            {"aspect_ratio": "16:9"},
            {"only": ["harbour/fp8"]},
        ),
        ({"options": {"seed": 7}}, {"seed": 7}, {"only": ["meadow"]}),
        ({"images": (reference(ONE),)}, {}, {"only": ["meadow"]}),
    ],
)
def test_only_providers_that_take_everything_are_asked(
    server: ScriptedServer,
    router: Router,
    connect: Connect,
    *,
    changes: dict[str, Any],
    sent: dict[str, object],
    routing: dict[str, object] | None,
) -> None:
    router.made = answer(ONE)
    connect().generate(job(**changes), RecordingContext())

    body = body_of(server)
    assert sent.items() <= body.items()
    assert body.get("provider") == routing


def test_the_providers_of_the_config_are_the_only_ones(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    router.made = answer(ONE)
    backend = connect(providers=["harbour"])
    backend.generate(job(size=Size(1344, 768)), RecordingContext())

    body = body_of(server)
    assert body["provider"] == {"only": ["harbour/fp8"]}
    assert body["aspect_ratio"] == "16:9"


def test_options_go_to_the_provider_that_has_them(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    router.made = answer(ONE)
    wanted = job(options={"safety_tolerance": 2})
    connect(allow_fallbacks=False).generate(wanted, RecordingContext())

    assert body_of(server)["provider"] == {
        "only": ["meadow"],
        "options": {"meadow": {"safety_tolerance": 2}},
        "allow_fallbacks": False,
    }


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {"aspect_ratio": "16:9", "safety_tolerance": 2},
            f"No provider of {FLUX} takes aspect_ratio, safety_tolerance together.",
            "Leave one of them out.",
        ),
        (
            {"aspect_ratio": "7:5"},
            "aspect_ratio cannot be '7:5'.",
            "Use one of 1:1, 16:9.",
        ),
        (
            {"safety_tolerence": 2},
            f"{FLUX} has no parameter 'safety_tolerence'.",
            "Did you mean safety_tolerance?",
        ),
    ],
)
def test_what_no_provider_takes_is_not_sent(
    server: ScriptedServer,
    connect: Connect,
    options: dict[str, object],
    message: str,
    hint: str,
) -> None:
    failure = outcome(
        lambda: connect().generate(job(options=options), RecordingContext())
    )

    assert isinstance(failure, InvalidRequest)
    assert (failure.message, failure.hint) == (message, hint)
    assert server.sent("POST", "/") == []


# Models


def test_a_model_supports_what_one_of_its_providers_does(connect: Connect) -> None:
    found = connect().capabilities_of("", RecordingContext())

    assert (found.references, found.largest_batch, found.negative) == (8, 4, False)
    assert found.parameters.keys() == {"aspect_ratio", "safety_tolerance", "seed"}


def test_size_and_seed_are_those_that_all_providers_take(connect: Connect) -> None:
    every = connect().capabilities_of("", RecordingContext())
    meadow = connect(providers=["meadow"]).capabilities_of("", RecordingContext())
    harbour = connect(providers=["harbour"]).capabilities_of("", RecordingContext())

    assert (every.largest_seed, every.sizes.choices) == (None, (Size(),))
    assert meadow.largest_seed == 2**31 - 1
    assert harbour.sizes.choices == (Size(), Size(1344, 768))
    assert "seed" not in meadow.parameters


def test_parameters_have_a_description(connect: Connect) -> None:
    found = connect().capabilities_of(BANANA, RecordingContext())

    assert found.formats == ("image/png", "image/webp")
    assert (found.negative, found.steps) == (True, True)
    assert found.parameters["quality"] == "low, high"
    assert found.parameters["grain"] == "any value"


@pytest.mark.parametrize(
    ("providers", "words"),
    [
        ([], "$0.03 a megapixel"),
        (["meadow"], "$0.03 a megapixel"),
        (["harbour/fp8"], "$0.02 an image"),
    ],
)
def test_the_price_is_that_of_the_most_expensive_provider(
    connect: Connect, providers: list[str], words: str
) -> None:
    found = connect(providers=providers).capabilities_of("", RecordingContext())

    (listed,) = found.prices
    assert (listed.provider, listed.model) == (found.provider, FLUX)
    assert (listed.price.words, listed.price.as_of) == (words, "2026-12-01")


@pytest.mark.parametrize(
    ("providers", "known"), [([], False), (["nib"], False), (["quill"], True)]
)
def test_a_price_is_known_if_that_of_every_provider_is(
    connect: Connect, providers: list[str], *, known: bool
) -> None:
    backend = connect(model=TOKENS, providers=providers)

    assert bool(backend.capabilities_of("", RecordingContext()).prices) is known


def test_a_model_is_read_once_for_all_jobs(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    router.made = answer(ONE)
    backend = connect()
    for _ in range(2):
        backend.generate(job(), RecordingContext())

    assert len(server.sent("GET", "/")) == 1


def test_a_model_is_read_once_a_day(
    server: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    cache = PurePosixPath(tmp_path)
    first = connect(cache=cache).capabilities_of("", RecordingContext())
    later = connect(cache=cache, clock=FakeClock(NOW + timedelta(hours=23)))

    assert later.capabilities() == first
    assert later.capabilities_of("", RecordingContext()) == first
    assert len(server.requests) == 1
    tomorrow = connect(cache=cache, clock=FakeClock(NOW + timedelta(hours=25)))
    assert tomorrow.capabilities().parameters is None
    tomorrow.capabilities_of("", RecordingContext())
    assert len(server.requests) == 2


def test_an_unknown_model_has_a_suggestion(connect: Connect) -> None:
    backend = connect()
    failure = outcome(
        lambda: backend.capabilities_of("meadow/flux-8", RecordingContext())
    )

    assert isinstance(failure, InvalidRequest)
    assert failure.message == "OpenRouter has no image model 'meadow/flux-8'."
    assert failure.hint == "Did you mean meadow/flux-9?"


def test_a_provider_that_the_model_does_not_have_is_named(connect: Connect) -> None:
    backend = connect(providers=["harbor"])
    failure = outcome(lambda: backend.generate(job(), RecordingContext()))

    assert isinstance(failure, InvalidRequest)
    assert failure.hint == "Its providers: meadow, harbour/fp8."


def test_a_check_names_the_credit_and_the_providers(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    def reply(request: Any) -> Reply:
        if request.path.endswith("/key"):
            return json_reply({"data": {"limit_remaining": 9.5}})
        return router(request)

    server.answer = reply
    key, model = connect().check(RecordingContext())

    assert (key.name, key.note) == ("key", "$9.50 left for this key")
    assert (model.name, model.note) == (f"model {FLUX}", "meadow, harbour/fp8")


@pytest.mark.parametrize("background", ["transparent", "opaque"])
def test_a_transparent_background_is_checked_in_the_result(
    router: Router, connect: Connect, background: str
) -> None:
    router.made = answer(ONE)
    wanted = job(size=Size(512, 512), options={"background": background})
    made = connect(model=BANANA).generate(wanted, RecordingContext())

    warned = ["transparent background" in one for one in made.images[0].warnings]
    assert warned == [True] * (background == "transparent")


# Money


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (DOLLARS, 13_230),
        ({"cost": 0.0000001}, 1),
        ({"cost": 0}, 0),
        (
            {
                "cost": 0.002,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.04},
            },
            42_000,
        ),
        ({"cost": 0.002, "is_byok": True}, None),
        ({"cost": -1}, None),
        ({"cost": "0.04"}, None),
        ({}, None),
    ],
)
def test_the_cost_is_that_of_the_answer(
    router: Router,
    connect: Connect,
    usage: dict[str, object],
    micros: int | None,
) -> None:
    router.made = answer(ONE, usage=usage)
    made = connect().generate(job(), RecordingContext())

    source = "unknown" if micros is None else "reported"
    assert made.cost == Cost(micros=micros, source=source)


GENERATION = {"data": {"id": "gen-1", "total_cost": 0.01323, "is_byok": False}}


@pytest.mark.parametrize(
    ("reply", "micros"),
    [(json_reply(GENERATION), 13_230), (json_reply({}, 404), None)],
)
def test_a_cost_that_is_missing_can_be_looked_up(
    server: ScriptedServer,
    router: Router,
    connect: Connect,
    reply: Reply,
    micros: int | None,
) -> None:
    content = answer(ONE).content
    router.made = Reply(content=content, headers={"X-Generation-Id": "gen-1"})
    router.generation = reply
    context = RecordingContext()
    backend = connect()
    made = backend.generate(job(), context)

    assert (made.cost, context.references) == (Cost(), ["gen-1"])
    assert [image.content for image in made.images] == [ONE]
    # The caller records the image first.
    assert server.sent("GET", "/api/v1/generation") == []
    assert backend.look_up_cost("gen-1", RecordingContext()).micros == micros
    (lookup,) = server.sent("GET", "/api/v1/generation")
    assert lookup.path.endswith("?id=gen-1")


def test_fewer_images_than_requested_are_taken(
    router: Router, connect: Connect
) -> None:
    router.made = answer(ONE, TWO, usage=DOLLARS)
    wanted = job(count=3, options={"aspect_ratio": "1:1"})
    made = connect().generate(wanted, RecordingContext())

    assert [image.content for image in made.images] == [ONE, TWO]


# Errors


def test_a_lost_job_is_named_as_openrouter_shows_it(
    server: ScriptedServer, router: Router, connect: Connect
) -> None:
    router.made = Reply(dropped=True)
    failure = outcome(lambda: connect().generate(job(), RecordingContext()))

    (request,) = server.sent("POST", "/")
    assert isinstance(failure, Unfinished)
    assert f"shows it as the session {request.body['session_id']}." in failure.message


def problem(code: object, message: str, **metadata: object) -> Mapping[str, object]:
    return {"error": {"code": code, "message": message, "metadata": metadata}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, problem(400, "size contradicts"), InvalidRequest, "size contradicts"),
        (
            400,
            problem(400, "Provider returned error", provider_name="X", raw='{"a": 1}'),
            InvalidRequest,
            'Provider returned error: X: {"a": 1}',
        ),
        (401, problem(401, "No auth credentials found"), Unauthorized, "No auth"),
        (
            402,
            problem(402, "Insufficient credits"),
            OutOfCredit,
            "Insufficient credits",
        ),
        (
            403,
            problem(403, "Input was flagged", reasons=["violence"]),
            Refused,
            'OpenRouter refuses the image: Input was flagged ["violence"].',
        ),
        (403, problem(403, "No", reasons=["violence"]), Refused, 'No ["violence"]'),
        (403, problem(403, "Key limit exceeded"), Unauthorized, "Key limit exceeded"),
        (413, problem(413, "Request too large"), InvalidRequest, "too large"),
        (429, problem(429, "Rate limited"), Throttled, "Rate limited"),
        (500, problem(500, "Internal"), Unfinished, "HTTP 500"),
        (502, problem(502, "Provider returned error"), Unfinished, "HTTP 502"),
        (524, problem(524, "Edge timeout"), Unfinished, "HTTP 524"),
        (529, problem(529, "Provider overloaded"), Unavailable, "overloaded"),
        (200, problem(402, "Insufficient credits"), BackendError, "Insufficient"),
        (200, problem(502, "no image"), BackendError, "OpenRouter made no image: no i"),
        (200, problem("moderation_blocked", "refused"), Refused, "refused"),
        (200, {"data": []}, Refused, "returned no image"),
        (200, {"status": "ok"}, Unfinished, "its response is invalid"),
    ],
)
def test_an_error_has_its_class_and_is_not_tried_again(
    server: ScriptedServer,
    router: Router,
    connect: Connect,
    *,
    status: int,
    body: Mapping[str, object],
    kind: type,
    words: str,
) -> None:
    router.made = json_reply(body, status)
    failure = outcome(lambda: connect().generate(job(), RecordingContext()))

    free = status != 200 and kind is not Unfinished
    assert isinstance(failure, kind)
    assert words in failure.message
    assert (failure.used == UNTOUCHED) is free
    assert len(server.sent("POST", "/")) == 1

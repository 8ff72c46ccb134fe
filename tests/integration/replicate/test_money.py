"""Nothing is paid twice, and nothing that was paid for is lost."""

import pytest
from tests.integration.replicate.conftest import (
    ActingContext,
    Build,
    ReplicateBackend,
    drawn,
)
from tests.integration.replicate.models import COLLAGE, PRO, SKETCH
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.trouble import INTERRUPTED, NSFW, SENSITIVE

from imagen.adapters.remote.files import BLACK_IMAGE
from imagen.domain.consumption import UNTOUCHED, Used
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
from imagen.domain.result import Generated
from imagen.testing.fakes import RecordingContext

# An order is sent once


@pytest.mark.parametrize("answer", ["500", "503", "drop", "garbage"])
def test_an_order_of_unknown_fate_is_not_sent_again(
    backend: ReplicateBackend, server: ReplicateServer, answer: str
) -> None:
    server.trouble(accepts_then=answer, times=1)

    outcome = drawn(backend)

    assert isinstance(outcome, Unfinished)
    assert outcome.used is None
    assert len(server.orders) == server.created == 1


def test_an_order_that_is_cut_off_is_not_sent_again(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(drops_before_accepting=True)

    assert isinstance(drawn(backend), Unfinished)
    assert len(server.orders) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BackendError),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Unauthorized),
        (407, Unavailable),
        (413, Refused),
        (422, Refused),
        (429, Throttled),
    ],
)
def test_a_refusal_says_that_it_has_cost_nothing(
    backend: ReplicateBackend,
    server: ReplicateServer,
    status: int,
    error: type[ImagenError],
) -> None:
    server.trouble(refuses_with=status)

    outcome = drawn(backend)

    assert type(outcome) is error
    assert outcome.used == UNTOUCHED
    assert server.created == 0


def test_a_closed_door_costs_nothing(build: Build) -> None:
    outcome = drawn(build(base_url="http://127.0.0.1:1/v1"))

    assert type(outcome) is Unavailable
    assert outcome.used == UNTOUCHED


def test_without_a_token_nothing_is_sent(build: Build, server: ReplicateServer) -> None:
    outcome = drawn(build(token=""))

    assert isinstance(outcome, Unauthorized)
    assert "REPLICATE_API_TOKEN" in outcome.message
    assert server.requests == []


def test_invalid_inputs_are_not_sent(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    outcome = drawn(backend, steps=50)

    assert isinstance(outcome, InvalidRequest)
    assert outcome.used == UNTOUCHED
    assert server.requests == []


@pytest.mark.parametrize("says_wait", ["body", "header", "words"])
def test_rate_limiting_states_when_to_retry(
    backend: ReplicateBackend, server: ReplicateServer, says_wait: str
) -> None:
    server.trouble(refuses_with=429, waits=5, says_wait=says_wait)

    outcome = drawn(backend)

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 5


def test_little_credit_is_explained(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(
        refuses_with=429,
        waits=5,
        detail="Your rate limit is reduced to 6 requests per minute with a burst of 1"
        " requests while you have less than $5.0 in credit.",
    )

    outcome = drawn(backend)

    assert "one at a time" in outcome.hint
    assert "less than $5.0" in outcome.message


# What is said of what was used


def test_says_what_it_used(backend: ReplicateBackend) -> None:
    generated = drawn(backend)

    assert generated.used == Used(images=1, seconds=0.5)


def test_asks_once_more_for_the_figures_after_waiting(
    build: Build, server: ReplicateServer
) -> None:
    generated = drawn(build(wait=5))

    (order,) = server.orders
    assert order.headers["prefer"] == "wait=5"
    assert generated.used.seconds == 0.5
    assert generated.images[0].seed == 7
    assert server.count("GET", f"/predictions/{server.predictions[0].id}") == 1


def test_looks_on_when_the_wait_is_over(build: Build, server: ReplicateServer) -> None:
    server.trouble(never_ends=True)
    context = ActingContext(server.end)

    generated = drawn(build(wait=1), context)

    assert isinstance(generated, Generated), generated
    assert context.references == [server.predictions[0].id]


@pytest.mark.parametrize("error", [NSFW, SENSITIVE])
def test_a_picture_that_is_withheld_is_refused_and_says_what_it_used(
    backend: ReplicateBackend, server: ReplicateServer, error: str
) -> None:
    server.trouble(ends="failed", error=error)

    outcome = drawn(backend)

    assert type(outcome) is Refused
    assert outcome.used == Used(seconds=0.5)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (INTERRUPTED, "Trying again may help"),
        ("Director: unexpected error handling prediction (E6716)", "Trying again"),
        ("CUDA out of memory. (E1001)", "smaller size"),
        ("It broke.", ""),
    ],
)
def test_a_failure_is_not_repeated(
    backend: ReplicateBackend, server: ReplicateServer, error: str, hint: str
) -> None:
    server.trouble(ends="failed", error=error, times=1)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert hint in outcome.hint
    assert outcome.used == Used(seconds=0.5)
    assert server.created == 1


def test_what_was_never_begun_is_free(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_begins=True)
    context = ActingContext(lambda: server.end(status="aborted"))

    outcome = drawn(backend, context)

    assert type(outcome) is BackendError
    assert outcome.used == UNTOUCHED


def test_a_prediction_cancelled_elsewhere_is_an_error(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(ends="canceled")

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert outcome.used.seconds == 0.5


def test_gives_replicate_the_same_time_as_we_have(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    drawn(backend, timeout=90)
    drawn(backend, timeout=0.5)

    assert [order.headers["cancel-after"] for order in server.orders] == ["90s", "5s"]


# One model after the other


def test_a_community_model_runs_by_its_version(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(model=SKETCH)

    first, second = drawn(backend), drawn(backend)

    assert isinstance(first, Generated), first
    assert isinstance(second, Generated), second
    assert [order.path for order in server.orders] == [
        "/models/acme/sketch/predictions",
        "/predictions",
        "/predictions",
    ]
    assert server.created == server.paid == 2
    assert first.model == SKETCH


def test_a_version_is_ordered_as_it_is(build: Build, server: ReplicateServer) -> None:
    sketch = server.models[SKETCH]
    version = sketch.version
    sketch.change({"prompt": {"type": "string"}})

    generated = drawn(build(model=f"{SKETCH}:{version}"))

    assert isinstance(generated, Generated), generated
    assert server.predictions[0].version == version
    assert generated.parameters["version"] == version


def test_a_deployment_draws_instead(build: Build, server: ReplicateServer) -> None:
    generated = drawn(build(deployment="acme/studio"))

    assert isinstance(generated, Generated), generated
    assert [o.path for o in server.orders] == ["/deployments/acme/studio/predictions"]
    assert generated.model == SKETCH


@pytest.mark.parametrize(
    "options",
    [
        {"model": "acme/nothing"},
        {"model": f"{SKETCH}:{'0' * 64}"},
        {"deployment": "acme/nothing"},
    ],
)
def test_what_there_is_not_is_told_and_costs_nothing(
    build: Build, server: ReplicateServer, options: dict[str, str]
) -> None:
    outcome = drawn(build(**options))

    assert isinstance(outcome, InvalidRequest)
    assert "acme/" in outcome.message
    assert outcome.used == UNTOUCHED
    assert server.created == 0


def test_any_model_can_be_named_for_one_job(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    generated = drawn(backend, model=PRO)

    assert server.predictions[0].model.name == PRO
    assert generated.model == PRO


def test_a_description_that_is_out_of_date_is_read_anew(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(model=SKETCH)
    drawn(backend)
    changed = dict(server.models[SKETCH].properties)
    changed["random_seed"] = changed.pop("seed")
    server.models[SKETCH].change(changed)
    server.models[SKETCH].old.clear()

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert server.predictions[-1].given["random_seed"] == 7
    assert server.created == 2


def test_a_table_that_is_out_of_date_is_read_anew(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    model = server.models["black-forest-labs/flux-schnell"]
    model.properties["aspect_ratio"] = {"type": "string", "enum": ["1:1", "16:9"]}
    del model.properties["megapixels"]

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert server.created == 1
    assert len(server.orders) == 2


def test_inputs_that_stay_refused_are_not_sent_again(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(refuses_with=422, detail="- input.prompt: prompt is too long\n")

    outcome = drawn(backend)

    assert type(outcome) is Refused
    assert "prompt is too long" in outcome.message
    assert len(server.orders) == 1


def test_several_are_ordered_at_once_where_no_seed_is_taken(
    build: Build, server: ReplicateServer
) -> None:
    generated = drawn(build(model=COLLAGE), count=3, seed=None)

    assert len(generated.images) == 3
    assert server.created == 1
    assert generated.used.images == 3


def test_those_that_are_withheld_are_missing(
    build: Build, server: ReplicateServer
) -> None:
    server.trouble(withholds=1)

    generated = drawn(build(model=COLLAGE), count=3, seed=None)

    assert len(generated.images) == 2
    assert generated.used.images == 3
    assert generated.used.megapixels is None


# Figures that cannot be right

SAFETY_LINE = (
    "Potential NSFW content was detected in one or more images. A black image will be"
    " returned instead. Try again with a different prompt and/or seed."
)


@pytest.mark.parametrize("seconds", [1e9, 62.0, -1, "long"])
def test_an_impossible_running_time_is_not_used(
    backend: ReplicateBackend, server: ReplicateServer, seconds: object
) -> None:
    server.trouble(metrics={"predict_time": seconds})

    generated = drawn(backend)

    assert generated.used.seconds is None
    [image] = generated.images
    assert "impossible running time" in image.warnings[0]


@pytest.mark.parametrize(
    "seconds", [float("nan"), float("inf"), float("-inf"), 10**400]
)
def test_a_figure_that_is_no_number_does_not_hide_the_image(
    backend: ReplicateBackend, server: ReplicateServer, seconds: float
) -> None:
    server.trouble(metrics={"predict_time": seconds, "image_count": seconds})

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert generated.used == Used()


@pytest.mark.parametrize(
    "line",
    [
        "Using seed: 99999999999999999999999999",
        "100%|##########| 1000000000000/1000000000000 [00:00]",
        f"100%|##########| {'9' * 5000}/{'9' * 5000} [00:00]",
    ],
)
def test_a_log_with_impossible_figures_does_not_hide_the_image(
    build: Build, server: ReplicateServer, line: str
) -> None:
    server.trouble(only_log=line)

    generated = drawn(build(model=SKETCH), seed=None)

    assert isinstance(generated, Generated), generated
    assert generated.steps is None
    assert generated.images[0].seed is None


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_black_image_after_a_safety_line_has_a_warning(
    backend: ReplicateBackend, server: ReplicateServer, kind: str
) -> None:
    server.trouble(file="black", logs=SAFETY_LINE)

    generated = drawn(backend, options={"output_format": kind})

    [image] = generated.images
    assert image.warnings == (BLACK_IMAGE,)


@pytest.mark.parametrize(("file", "line"), [("image", SAFETY_LINE), ("black", "")])
def test_only_both_together_are_a_warning(
    backend: ReplicateBackend, server: ReplicateServer, file: str, line: str
) -> None:
    server.trouble(file=file, logs=line)

    [image] = drawn(backend).images

    assert image.warnings == ()


# What a model returns


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        (["https://replicate.delivery/x/out-0.svg"], "image/svg+xml"),
        ("https://replicate.delivery/x/out.mp4?token=a.png", "video/mp4"),
        ({"video": "https://replicate.delivery/x/y.webm"}, "video/webm"),
        ("https://replicate.delivery/x/out.webp", ""),
        ("https://replicate.delivery/x/output", ""),
        ("https://[::1/x", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_the_example_of_a_model_tells_what_it_returns(
    build: Build, server: ReplicateServer, example: object, kind: str
) -> None:
    server.models[SKETCH].example = example
    backend = build(model=SKETCH)

    capabilities = backend.capabilities_of(SKETCH, RecordingContext())

    assert capabilities.output_type == kind


def test_inputs_of_a_video_and_a_name_tell_what_a_model_returns(
    build: Build, server: ReplicateServer
) -> None:
    server.models[SKETCH].properties["fps"] = {"type": "integer"}
    backend = build(model="recraft-ai/recraft-v3-svg")

    capabilities = backend.capabilities_of(SKETCH, RecordingContext())

    assert capabilities.output_type == "video/mp4"
    assert backend.capabilities().output_type == "image/svg+xml"

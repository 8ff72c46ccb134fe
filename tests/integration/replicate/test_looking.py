"""What is asked at no cost: models, old jobs, whether all is ready."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pytest
from msgspec import structs
from tests.integration.replicate.conftest import (
    Build,
    ReplicateBackend,
    drawn,
    job,
    outcome_of,
)
from tests.integration.replicate.models import COLLAGE, PRO, SCHNELL, SKETCH
from tests.integration.replicate.server import ReplicateServer

from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    InvalidRequest,
    Throttled,
    Unauthorized,
    Unavailable,
)
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.testing.fakes import CancelledContext, FakeClock, RecordingContext, tiny_png

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


# What a model can do


def test_a_well_known_model_needs_no_asking(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    can = backend.capabilities_of("google/imagen-4", RecordingContext())

    assert Size(1408, 768) in can.sizes.choices
    assert can.largest_seed is None
    assert server.requests == []


def test_any_other_model_is_asked_what_it_takes(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(model=SKETCH)

    can = backend.capabilities_of("", RecordingContext())

    assert can.sizes.allows(Size(72, 512))
    assert not can.sizes.allows(Size(1024, 1024))
    assert can.largest_seed == 65535
    assert (can.negative, can.steps) == (True, True)
    assert can.formats == ("image/png", "image/jpeg")
    assert can.parameters is not None
    assert list(can.parameters) == ["guidance_scale"]
    assert backend.capabilities_of(SKETCH, RecordingContext()) == can
    assert len(server.requests) == 1


def test_promises_little_for_a_model_that_was_not_looked_up(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(model=SKETCH)
    before = backend.capabilities()
    backend.capabilities_of("", RecordingContext())

    assert before.parameters is None
    assert before.largest_seed is None
    assert backend.capabilities() == before
    assert before.provider == "replicate"
    assert before.may_cost


def test_what_a_model_takes_is_kept_for_the_next_process(
    build: Build, server: ReplicateServer, tmp_path: Path
) -> None:
    cache = PurePosixPath(tmp_path / "not yet there")
    can = build(model=SKETCH, cache=cache).capabilities_of("", RecordingContext())

    again = build(model=SKETCH, cache=cache)

    assert again.capabilities() == can
    assert again.capabilities_of("", RecordingContext()) == can
    assert len(server.requests) == 1


def test_what_is_kept_is_believed_for_a_day(
    build: Build, server: ReplicateServer, tmp_path: Path
) -> None:
    clock, cache = FakeClock(), PurePosixPath(tmp_path)
    build(model=SKETCH, cache=cache, clock=clock).capabilities_of(
        "", RecordingContext()
    )
    clock._elapsed += timedelta(days=1).total_seconds() + 1

    build(model=SKETCH, cache=cache, clock=clock).capabilities_of(
        "", RecordingContext()
    )

    assert len(server.requests) == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1, 2]", b'{"form": 1'])
def test_a_broken_file_is_read_over(
    build: Build, server: ReplicateServer, tmp_path: Path, content: bytes
) -> None:
    cache = PurePosixPath(tmp_path)
    can = build(model=SKETCH, cache=cache).capabilities_of("", RecordingContext())
    (file,) = tmp_path.glob("*/*.json")
    file.write_bytes(content)

    assert (
        build(model=SKETCH, cache=cache).capabilities_of("", RecordingContext()) == can
    )
    assert file.read_bytes() != content
    assert list(file.parent.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_is_done_without(
    build: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = PurePosixPath(tmp_path / "file")

    assert (
        build(model=SKETCH, cache=cache).capabilities_of("", RecordingContext()).steps
    )


def test_an_unknown_model_is_an_error(backend: ReplicateBackend) -> None:
    for name in ("acme/nothing", "nothing", "a/b/c", "https://x/y"):
        with pytest.raises(InvalidRequest):
            backend.capabilities_of(name, RecordingContext())


def test_the_nearest_known_model_is_suggested(
    backend: ReplicateBackend,
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        backend.capabilities_of("black-forest-labs/flux-shnell", RecordingContext())

    assert refused.value.hint == "Did you mean black-forest-labs/flux-schnell?"


def test_a_known_name_is_not_suggested_for_itself(build: Build) -> None:
    outcome = drawn(build(model="google/imagen-4"))

    assert isinstance(outcome, InvalidRequest)
    assert outcome.hint == ""


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unauthorized), (429, Throttled), (503, Unavailable)]
)
def test_a_model_that_cannot_be_read_now_is_an_error(
    backend: ReplicateBackend,
    server: ReplicateServer,
    status: int,
    error: type[ImagenError],
) -> None:
    server.spoil("/models", status=status)

    with pytest.raises(error):
        backend.capabilities_of(SKETCH, RecordingContext())


def test_asking_can_be_cancelled(backend: ReplicateBackend) -> None:
    with pytest.raises(Cancelled):
        backend.capabilities_of(SKETCH, CancelledContext())


def test_the_config_stands_for_the_models_own_defaults(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(input={"output_format": "png", "megapixels": "0.25"})
    can = backend.capabilities()

    assert can.formats[0] == "image/png"
    generated = drawn(backend, size=can.sizes.nearest(Size(4096, 4096)))

    assert generated.images[0].media_type == "image/png"
    assert server.predictions[0].given["megapixels"] == "0.25"


def test_what_is_set_for_one_job_goes_before_the_config(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(input={"go_fast": True, "output_quality": 50})

    drawn(backend, options={"go_fast": False, "aspect_ratio": "16:9"})

    given = server.predictions[0].given
    assert (given["go_fast"], given["output_quality"]) == (False, 50)
    assert given["aspect_ratio"] == "16:9"


def test_another_model_gets_only_what_it_takes_of_the_config(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(input={"go_fast": True, "output_quality": 50})

    drawn(backend, model=PRO)

    given = server.predictions[0].given
    assert "go_fast" not in given
    assert given["output_quality"] == 50


# Whether it was taken


def found(
    backend: ReplicateBackend, since: datetime = LONG_AGO, **changes: object
) -> tuple[str, ...]:
    return backend.find(job(**changes), since=since, context=RecordingContext())


@pytest.mark.parametrize("answer", ["500", "drop", "garbage"])
def test_an_order_of_unknown_fate_is_found(
    build: Build, server: ReplicateServer, answer: str
) -> None:
    drawn(build(), prompt="before")
    server.trouble(accepts_then=answer, times=1)
    drawn(build())
    drawn(build(), seed=8)

    assert found(build()) == (server.predictions[1].id,)
    assert len(server.orders) == 3


def test_an_order_that_was_not_taken_is_not_found(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(drops_before_accepting=True)
    drawn(backend)

    assert found(backend) == ()


def test_all_that_are_alike_are_found_the_oldest_first(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.page_size = 2
    for _ in range(3):
        drawn(backend)

    ids = [prediction.id for prediction in server.predictions]
    assert found(backend) == tuple(ids)


@pytest.mark.parametrize(
    "listed",
    [
        {"listed_as": "{name}:{version}"},
        {"listed_as": "Black-Forest-Labs/FLUX-schnell"},
        {"listed_as": "black-forest-labs/flux-internal"},
        {"listed_as": "flux-schnell"},
        {"listed_as": " "},
        {"listed_version": "f" * 64},
        {"listed_version": "dp-1f2e"},
    ],
    ids=str,
)
def test_is_found_under_another_name_of_its_model(
    backend: ReplicateBackend, server: ReplicateServer, listed: dict[str, str]
) -> None:
    server.trouble(**listed)
    drawn(backend)

    assert found(backend) == (server.predictions[0].id,)


def test_is_found_under_a_name_that_its_model_was_given_later(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.models["acme/schnell"] = server.models[SCHNELL]
    server.trouble(listed_as="acme/schnell")
    drawn(backend)

    assert found(backend) == (server.predictions[0].id,)
    assert server.count("GET", "/models/acme/schnell") == 1


def test_is_found_by_its_version_under_any_name(
    build: Build, server: ReplicateServer
) -> None:
    backend = build(model=f"{SKETCH}:{server.models[SKETCH].version}")
    server.trouble(listed_as="acme/renamed")
    drawn(backend)

    assert found(backend) == (server.predictions[0].id,)
    assert server.count("GET", "/models/acme/renamed") == 0


@pytest.mark.parametrize("listed", ["{name}", "{name}:{version}"])
def test_one_of_another_model_with_the_same_inputs_is_not_found(
    build: Build, server: ReplicateServer, listed: str
) -> None:
    sketch = server.models[SKETCH]
    server.models["acme/twin"] = replace(sketch, name="acme/twin")
    server.trouble(listed_as=listed)
    for _ in range(2):
        drawn(build(model="acme/twin"))
    backend = build(model=SKETCH)
    drawn(backend)
    before = len(server.requests)

    assert found(backend) == (server.predictions[2].id,)
    asked = [request.path for request in server.requests[before:]]
    assert sorted(asked) == ["/models/acme/sketch", "/models/acme/twin", "/predictions"]


def test_one_of_another_version_is_not_found(
    build: Build, server: ReplicateServer
) -> None:
    sketch = server.models[SKETCH]
    drawn(build(model=SKETCH))
    sketch.change(sketch.properties)

    assert found(build(model=f"{SKETCH}:{sketch.version}")) == ()
    assert len(found(build(model=f"{SKETCH}:{sketch.version_id(1)}"))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a dog"},
        {"seed": 8},
        {"steps": 2},
        {"size": Size(1344, 768)},
        {"media_type": "image/png"},
        {"options": {"go_fast": False}},
        {"model": PRO},
    ],
    ids=str,
)
def test_one_that_differs_is_not_found(
    backend: ReplicateBackend, changes: dict[str, object]
) -> None:
    drawn(backend)

    assert found(backend, **changes) == ()


def test_is_found_though_replicate_adds_what_was_not_sent(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(adds_defaults=True)
    drawn(backend)

    assert found(backend) == (server.predictions[0].id,)


def test_is_found_on_a_later_page_and_no_link_is_followed(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.page_size = 2
    for seed in range(1, 8):
        drawn(backend, seed=seed)

    assert found(backend, seed=1) == (server.predictions[0].id,)
    assert server.count("GET", "/predictions") == 4


def test_looks_no_further_back_than_it_was_sent(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.page_size = 1
    for _ in range(3):
        drawn(backend)

    assert found(backend, since=datetime.now(UTC) + timedelta(hours=1)) == ()
    assert server.count("GET", "/predictions") == 1
    assert len(found(backend, since=datetime.now(UTC) - timedelta(hours=1))) == 3


@pytest.mark.parametrize("hours", [-5, 5])
def test_is_found_however_wrong_our_clock_is(
    backend: ReplicateBackend, server: ReplicateServer, hours: int
) -> None:
    server.ahead = timedelta(hours=hours)
    since = datetime.now(UTC)
    drawn(backend)

    assert found(backend, since=since) == (server.predictions[0].id,)


def test_one_whose_data_was_deleted_is_not_claimed(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(removed=True)
    drawn(backend)

    assert found(backend) == ()


def test_one_by_version_or_deployment_is_found(
    build: Build, server: ReplicateServer
) -> None:
    version = server.models[SKETCH].version
    backends = [
        build(model=SKETCH),
        build(model=f"{SKETCH}:{version}"),
        build(deployment="acme/studio"),
    ]
    for number, backend in enumerate(backends):
        drawn(backend, seed=number + 1)

    assert [found(b, seed=n + 1) for n, b in enumerate(backends)] == [
        (prediction.id,) for prediction in server.predictions
    ]
    assert found(backends[1], seed=3) == (server.predictions[2].id,)


def picture(content: bytes, *, kept: bool = True) -> ReferenceImage:
    return ReferenceImage(
        name="cat.png",
        sha256=sha256(content).hexdigest(),
        media_type="image/png",
        content=content if kept else b"",
    )


@pytest.mark.parametrize("inline", [True, False])
def test_is_found_by_the_digests_of_its_pictures(
    build: Build,
    server: ReplicateServer,
    inline: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not inline:
        monkeypatch.setattr(
            "imagen.adapters.backends.replicate.vendor.MAX_INLINE_BYTES", 1
        )
    backend = build(model=COLLAGE)
    sent, other = tiny_png(), tiny_png(colour=(1, 2, 3))
    drawn(backend, seed=None, images=(picture(sent),))

    kept = {"seed": None, "images": (picture(sent, kept=False),)}
    assert found(backend, **kept) == (server.predictions[0].id,)
    assert found(backend, seed=None, images=(picture(other, kept=False),)) == ()
    assert found(backend, seed=None, images=(picture(sent),) * 2) == ()
    assert found(backend, seed=None) == ()


def test_one_of_a_model_that_needs_a_picture_is_found(
    build: Build, server: ReplicateServer
) -> None:
    server.models[COLLAGE].properties["input_images"]["required"] = True
    backend = build(model=COLLAGE)
    drawn(backend, seed=None, images=(picture(tiny_png()),))

    kept = picture(tiny_png(), kept=False)
    assert len(found(backend, seed=None, images=(kept,))) == 1


def test_one_that_was_asked_for_something_more_is_not_found(
    backend: ReplicateBackend,
) -> None:
    drawn(backend, options={"go_fast": False})

    assert found(backend) == ()


def test_one_with_a_mask_that_is_gone_is_not_claimed(build: Build) -> None:
    backend = build(model=COLLAGE)
    pictures = {"seed": None, "images": (picture(tiny_png()),)}
    drawn(backend, **pictures, mask=picture(tiny_png()))

    assert found(backend, **pictures, mask=picture(tiny_png(), kept=False)) == ()
    assert len(found(backend, **pictures, mask=picture(tiny_png()))) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unauthorized), (429, Throttled), (502, Unavailable)]
)
def test_a_list_that_cannot_be_read_now_is_an_error(
    backend: ReplicateBackend,
    server: ReplicateServer,
    status: int,
    error: type[ImagenError],
) -> None:
    server.spoil("/predictions", status=status)

    with pytest.raises(error):
        found(backend)


# Whether all is ready


def notes(backend: ReplicateBackend) -> dict[str, tuple[bool, str]]:
    findings = outcome_of(lambda: backend.check(RecordingContext()))
    return {each.name: (each.ready, each.note) for each in findings}


def test_says_whose_account_it_is_and_that_the_model_is_there(
    build: Build, server: ReplicateServer
) -> None:
    checked = notes(build(model=SKETCH))

    assert checked[f"model {SKETCH}"][0]
    assert "acme" in checked["account"][1]
    assert server.created == 0


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"status": 401}, "does not accept the credentials"),
        ({"status": 401}, "Check $REPLICATE_API_TOKEN."),
        ({"status": 407}, "proxy"),
        ({"status": 503}, "not available"),
        ({"status": 302, "location": "/login"}, "sign-in"),
        ({"status": 200, "body": "<html>Welcome to the hotel</html>"}, "sign-in"),
        ({"drops": True}, "did not respond"),
    ],
    ids=str,
)
def test_tells_one_trouble_from_another(
    backend: ReplicateBackend,
    server: ReplicateServer,
    trouble: dict[str, object],
    words: str,
) -> None:
    server.spoil("/account", **trouble)

    ready, note = notes(backend)["account"]

    assert not ready
    assert words in note


def test_says_what_is_missing(build: Build) -> None:
    assert not notes(build(model="acme/nothing"))["model acme/nothing"][0]
    assert not notes(build(deployment="acme/none"))["deployment acme/none"][0]
    assert "REPLICATE_API_TOKEN" in notes(build(token=""))["account"][1]
    assert "refused" in notes(build(base_url="http://127.0.0.1:1/v1"))["account"][1]


def test_is_found_by_what_was_sent_in_place_of_the_file(
    build: Build, server: ReplicateServer
) -> None:
    """Such as the upright copy of a photo that its EXIF orientation turns."""
    backend = build(model=COLLAGE)
    sent = tiny_png()
    image = structs.replace(
        picture(sent), sha256="ab" * 32, sent_sha256=sha256(sent).hexdigest()
    )
    drawn(backend, seed=None, images=(image,))

    kept = structs.replace(image, content=b"")
    assert found(backend, seed=None, images=(kept,)) == (server.predictions[0].id,)

"""What comes out, and what goes in: files, and where they may come from."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image
from tests.integration.replicate.conftest import (
    Build,
    ReplicateBackend,
    drawn,
    job,
)
from tests.integration.replicate.models import COLLAGE, PRO, SKETCH
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.trouble import PredictionTrouble

from imagen.adapters.remote import fetch
from imagen.adapters.remote.models.images import MAX_INLINE_BYTES
from imagen.domain.consumption import Used
from imagen.domain.errors import BackendError, InvalidRequest, Refused, Unfinished
from imagen.domain.reference import ReferenceImage
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.testing.fakes import RecordingContext, tiny_png


@pytest.fixture
def elsewhere() -> Iterator[ReplicateServer]:
    """A host that must not receive the token."""
    with ReplicateServer() as server:
        yield server


# What comes out


@pytest.mark.parametrize(
    "output",
    [
        *("usual", "data", "dict", "nulls", "late"),
        *("relative", "schemeless", "capitals", "base64", "json"),
    ],
)
@pytest.mark.parametrize("model", [SKETCH, PRO])
def test_takes_files_however_they_are_named(
    build: Build, server: ReplicateServer, model: str, output: str
) -> None:
    server.trouble(output=output)

    generated = drawn(build(model=model))

    assert isinstance(generated, Generated), generated
    assert len(generated.images) == 1


@pytest.mark.parametrize("output", ["none", "text"])
def test_an_output_without_files_is_an_error(
    backend: ReplicateBackend, server: ReplicateServer, output: str
) -> None:
    server.trouble(output=output)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert "without an image" in outcome.message
    assert outcome.used.seconds == 0.5


def test_all_withheld_is_refused(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(withholds=1, logs="NSFW content detected in image 0")

    outcome = drawn(backend)

    assert type(outcome) is Refused


@pytest.mark.parametrize(
    ("file", "words"), [("html", "sent text"), ("cut", "incomplete")]
)
def test_what_is_no_image_leaves_the_job_open(
    build: Build, server: ReplicateServer, file: str, words: str
) -> None:
    server.trouble(file=file)
    context = RecordingContext()

    outcome = drawn(build(model=PRO), context, media_type="image/png")

    assert outcome.images == ()
    assert words in outcome.delayed[0].reason
    assert context.references[0] in outcome.delayed[0].reason
    assert outcome.delayed[0].received is not None


def test_an_svg_image_is_returned(build: Build, server: ReplicateServer) -> None:
    server.trouble(file="svg")

    generated = drawn(build(model=PRO))

    assert generated.images[0].content == server.served[0]
    assert generated.used == Used(images=1, seconds=0.5)


def test_more_files_than_requested_are_returned(
    build: Build, server: ReplicateServer
) -> None:
    server.trouble(extra=2)

    generated = drawn(build(model=COLLAGE), count=1, seed=None)

    assert [image.content for image in generated.images] == server.served
    assert len(generated.images) == 3


def test_a_file_that_is_cut_off_is_fetched_again(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(cut_times=2)

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert len(server.fetched) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_file_that_cannot_be_had_at_once_is_asked_for_again(
    backend: ReplicateBackend, server: ReplicateServer, status: int
) -> None:
    server.trouble(file_status=status, file_status_times=2)

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated


def test_a_file_that_cannot_be_had_for_long_leaves_the_job(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(file_status=503)

    assert type(drawn(backend)) is Unfinished


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_is_not_given_up_within_the_hour_that_replicate_keeps_it(
    build: Build, server: ReplicateServer, status: int
) -> None:
    server.trouble(file_status=status)
    context = RecordingContext()

    outcome = drawn(build(), context)
    server.predictions[0].trouble = PredictionTrouble()
    resumed = build().resume(job(), context.references[0], RecordingContext())

    assert type(outcome) is Unfinished
    assert len(resumed.images) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_deleted_file_is_an_error(
    backend: ReplicateBackend, server: ReplicateServer, status: int
) -> None:
    server.trouble(file_status=status)
    server.ahead = timedelta(hours=-1, minutes=-1)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert "deleted" in outcome.message
    assert outcome.used.images == 1


def test_a_file_of_any_length_is_not_read_to_its_end(
    backend: ReplicateBackend,
    server: ReplicateServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", 4 * 1024 * 1024)
    server.trouble(file="endless")

    outcome = drawn(backend)

    assert type(outcome) is Unfinished
    assert "4 MB" in outcome.message


@pytest.mark.parametrize("guarded", [True, False])
def test_the_token_goes_along_to_the_host_of_the_api(
    backend: ReplicateBackend, server: ReplicateServer, guarded: bool
) -> None:
    server.trouble(guarded=guarded)

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert [fetch.headers.get("authorization") for fetch in server.fetched] == [
        f"Bearer {server.token}",
    ]


@pytest.mark.parametrize("how", ["leads_to", "redirects_to"])
def test_the_token_goes_nowhere_else(
    backend: ReplicateBackend,
    server: ReplicateServer,
    elsewhere: ReplicateServer,
    how: str,
) -> None:
    server.trouble(guarded=how == "redirects_to")
    server.trouble(**{how: f"{elsewhere.url}/account"})

    outcome = drawn(backend)

    assert type(outcome) is Unfinished
    assert elsewhere.requests
    assert [r for r in elsewhere.requests if "authorization" in r.headers] == []


def test_only_a_few_redirects_are_followed(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(redirects=3, times=1)
    assert isinstance(drawn(backend), Generated)

    server.trouble(redirects=9)
    outcome = drawn(backend)

    assert type(outcome) is Unfinished
    assert "redirects" in outcome.message


@pytest.mark.parametrize(
    "address",
    [
        "http://8.8.8.8/x.png",
        "http://user:word@127.0.0.1/x.png",
        "http://[::1/x.png",
        "https:///x.png",
    ],
)
def test_an_image_does_not_come_from_just_anywhere(
    backend: ReplicateBackend, server: ReplicateServer, address: str
) -> None:
    server.trouble(leads_to=address)

    assert type(drawn(backend)) is Unfinished

    server.ahead = timedelta(hours=-1, minutes=-1)
    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert outcome.used.seconds == 0.5


# What goes in


def reference(content: bytes, name: str = "cat.png") -> ReferenceImage:
    return ReferenceImage(
        name=name,
        sha256=sha256(content).hexdigest(),
        media_type="image/png",
        content=content,
    )


def noise(size: Size) -> bytes:
    """A picture that does not become small."""
    buffer = BytesIO()
    Image.effect_noise(size.sides, 90).save(buffer, "PNG")
    return buffer.getvalue()


def content_in(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_a_small_picture_goes_along(build: Build, server: ReplicateServer) -> None:
    picture = tiny_png()

    drawn(build(model=PRO), images=(reference(picture),))

    sent = server.predictions[0].given["image_prompt"]
    assert sent.startswith("data:image/png;base64,")
    assert content_in(sent) == picture
    assert server.files == {}


def test_a_large_picture_is_handed_in_before(
    build: Build, server: ReplicateServer
) -> None:
    picture = noise(Size(800, 800))
    assert len(picture) > MAX_INLINE_BYTES

    drawn(build(model=PRO), images=(reference(picture, "große Katze.png"),))

    ((name, kind, content),) = server.files.values()
    assert (name, kind, content) == ("große Katze.png", "image/png", picture)
    sent = server.predictions[0].given["image_prompt"]
    assert sent == f"{server.url}/files/file-1"


def test_several_pictures_are_a_list(build: Build, server: ReplicateServer) -> None:
    pictures = [tiny_png(colour=(n, 0, 0)) for n in (1, 2)]

    drawn(build(model=COLLAGE), seed=None, images=tuple(map(reference, pictures)))

    sent = server.predictions[0].given["input_images"]
    assert list(map(content_in, sent)) == pictures


def test_a_picture_that_cannot_be_handed_in_costs_nothing(
    build: Build, server: ReplicateServer
) -> None:
    server.spoil("/files", status=503)

    outcome = drawn(build(model=PRO), images=(reference(noise(Size(800, 800))),))

    assert outcome.used.calls == 0
    assert server.orders == []


def test_a_picture_of_which_only_the_name_is_left_is_not_sent(
    build: Build, server: ReplicateServer
) -> None:
    gone = ReferenceImage(name="cat.png", sha256="0" * 64, media_type="image/png")

    outcome = drawn(build(model=PRO), images=(gone,))

    assert isinstance(outcome, InvalidRequest)
    assert server.orders == []


def mask(transparent: tuple[int, int]) -> bytes:
    """An opaque picture with one transparent pixel."""
    picture = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    picture.putpixel(transparent, (0, 0, 0, 0))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("note", "painted", "kept"),
    [
        ("Black areas are preserved, white areas will be inpainted.", 255, 0),
        ("Black pixels are inpainted, white pixels are preserved.", 0, 255),
    ],
)
def test_a_mask_is_turned_into_what_the_model_understands(
    build: Build, server: ReplicateServer, note: str, painted: int, kept: int
) -> None:
    server.models[COLLAGE].properties["mask"]["description"] = note

    drawn(
        build(model=COLLAGE),
        seed=None,
        images=(reference(tiny_png()),),
        mask=reference(mask((3, 4)), "mask.png"),
    )

    sent = content_in(server.predictions[0].given["mask"])
    with Image.open(BytesIO(sent)) as picture:
        assert picture.mode == "L"
        assert picture.getpixel((3, 4)) == painted
        assert picture.getpixel((0, 0)) == kept


def test_a_mask_without_transparency_is_sent_as_it_is(
    build: Build, server: ReplicateServer
) -> None:
    plain = tiny_png()

    drawn(
        build(model=COLLAGE),
        seed=None,
        images=(reference(tiny_png()),),
        mask=reference(plain),
    )

    assert content_in(server.predictions[0].given["mask"]) == plain


def test_says_what_it_does_meanwhile(build: Build) -> None:
    context = RecordingContext()

    drawn(build(model=PRO), context, images=(reference(noise(Size(800, 800))),))

    assert context.notes[0] == "uploading cat.png"
    assert context.notes[-1] == "downloading"

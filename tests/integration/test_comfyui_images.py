"""Reference images and masks on their way into a ComfyUI workflow, on a socket."""

import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from tests.integration.comfyui.server import ComfyServer
from tests.unit.adapters.backends.comfyui.graphs import Nodes, node, sampler, stock

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend, LookupBackend
from imagen.testing.fakes import StoppableContext

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ComfyServer) -> Iterator[ComfyServer]:
    yield shared_server
    shared_server.reset()


@pytest.fixture
def build(
    server: ComfyServer, tmp_path: Path
) -> Iterator[Callable[[Nodes], ImageBackend]]:
    built: list[ImageBackend] = []

    def build_one(nodes: Nodes) -> ImageBackend:
        nodes["4"] = node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)
        file = tmp_path / "mine.json"
        file.write_bytes(msgspec.json.encode(nodes))
        options = ComfyOptions(base_url=server.url, workflow=str(file))
        context = BackendContext(name="c", clock=SystemClock(), secrets=Secrets())
        built.append(create(options, context))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()


def picture(colour: str, *, name: str = "a.png", alpha: int = 255) -> ReferenceImage:
    buffer = io.BytesIO()
    image = Image.new("RGBA", (8, 8), colour)
    image.putalpha(alpha)
    image.save(buffer, "PNG")
    content = buffer.getvalue()
    return ReferenceImage(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        media_type="image/png",
        content=content,
    )


def from_image(**more: dict[str, object]) -> Nodes:
    """Image to image: the latent is made of node 14."""
    usual = {
        "n5": node("VAEEncode", pixels=["14", 0], vae=["4", 2]),
        "n14": node("LoadImage", image="example.png"),
    }
    return stock(**{**usual, **more})


def inpainting(*, mask: list[object], **more: dict[str, object]) -> Nodes:
    return from_image(
        n5=node(
            "VAEEncodeForInpaint",
            pixels=["14", 0],
            vae=["4", 2],
            mask=mask,
            grow_mask_by=6,
        ),
        **more,
    )


def job(*images: ReferenceImage, mask: ReferenceImage | None = None) -> ImageJob:
    return ImageJob(
        number=1,
        prompt="a cat",
        size=Size(512, 512),
        seed=1,
        steps=2,
        images=images,
        mask=mask,
        timeout=60,
    )


def loaded(server: ComfyServer, node_id: str) -> Path:
    """Return the file that a node of the last prompt loads."""
    name = server.prompts[-1].graph[node_id]["inputs"]["image"]
    return server.folder / "input" / name


def test_an_image_is_uploaded_and_loaded(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    fox = picture("red")

    build(from_image()).generate(job(fox), StoppableContext())

    assert loaded(server, "14").read_bytes() == fox.content


def test_several_images_are_loaded_in_their_order(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    second = {"n15": node("LoadImage", image="b.png")}
    latent = {"n16": node("VAEEncode", pixels=["15", 0], vae=["4", 2])}
    last = {
        "n17": sampler(latent_image=["16", 0]),
        "n18": node("VAEDecode", samples=["17", 0], vae=["4", 2]),
        "n19": node("SaveImage", filename_prefix="y", images=["18", 0]),
    }
    backend = build(from_image(**second, **latent, **last))
    red, blue = picture("red"), picture("blue")

    assert backend.capabilities().references == 2
    backend.generate(job(red, blue), StoppableContext())

    assert loaded(server, "14").read_bytes() == red.content
    assert loaded(server, "15").read_bytes() == blue.content


def test_the_same_image_is_stored_once(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    backend = build(from_image())
    for _ in range(2):
        backend.generate(job(picture("red")), StoppableContext())

    assert len(list((server.folder / "input").rglob("*.png"))) == 1


def test_a_file_and_its_upright_copy_are_two_images(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    backend, file, copy = build(from_image()), picture("red"), picture("blue")
    upright = msgspec.structs.replace(copy, sha256=file.sha256, sent_sha256=copy.sha256)
    for image in (file, upright):
        backend.generate(job(image), StoppableContext())

    assert loaded(server, "14").read_bytes() == copy.content


def test_a_mask_becomes_the_transparency_of_the_image(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    backend = build(inpainting(mask=["14", 1]))
    wanted = job(picture("red"), mask=picture("black", alpha=7))

    assert backend.capabilities().mask
    for _ in range(2):
        backend.generate(wanted, StoppableContext())

    with Image.open(loaded(server, "14")) as made:
        assert made.convert("RGBA").getpixel((0, 0)) == (255, 0, 0, 7)
    assert server.count("POST", "/upload/mask") == 1


def test_a_loader_of_the_mask_alone_gets_the_mask(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    loader = {"n15": node("LoadImage", image="mask.png")}
    backend = build(inpainting(mask=["15", 1], **loader))
    red, mask = picture("red"), picture("black", alpha=7)

    assert backend.capabilities().references == 1
    backend.generate(job(red, mask=mask), StoppableContext())

    assert loaded(server, "14").read_bytes() == red.content
    assert loaded(server, "15").read_bytes() == mask.content


def test_without_a_loader_images_are_not_taken(
    build: Callable[[Nodes], ImageBackend],
) -> None:
    can = build(stock()).capabilities()

    assert (can.references, can.mask) == (0, False)
    assert not build(from_image()).capabilities().mask


@pytest.mark.parametrize("option", ["image", "14.image"])
def test_an_image_cannot_be_set_twice(
    option: str, build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    twice = msgspec.structs.replace(job(picture("red")), options={option: "other.png"})

    with pytest.raises(InvalidRequest, match=r"14\.image is set by --image"):
        build(from_image()).generate(twice, StoppableContext())

    assert server.requests == []


def test_a_lost_job_with_an_image_is_found(
    build: Callable[[Nodes], ImageBackend], server: ComfyServer
) -> None:
    backend = build(from_image())
    assert isinstance(backend, LookupBackend)
    red = picture("red")
    backend.generate(job(red), StoppableContext())
    bare = job(msgspec.structs.replace(red, content=b""))

    found = backend.find(
        bare, since=datetime(2026, 1, 1, tzinfo=UTC), context=StoppableContext()
    )

    assert list(found) == server.ran

"""What a workflow saves, sends or makes a video of arrives, or is refused before."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.comfyui.png import ANIMATION
from tests.integration.comfyui.server import ComfyServer
from tests.unit.adapters.backends.comfyui.graphs import load_workflow

import imagen
from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.system.clock import SystemClock
from imagen.cli.app import main
from imagen.domain.errors import BackendError, Misconfigured
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.formats.container import read_facts
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend, LookupBackend, ResumableBackend
from imagen.testing.fakes import RecordingContext, StoppableContext

JOB = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=1, steps=3, timeout=60)

Graph = dict[str, dict[str, Any]]
Build = Callable[..., ImageBackend]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def build(server: ComfyServer, tmp_path: Path) -> Iterator[Build]:
    built: list[ImageBackend] = []

    def build_one(graph: Graph, *, key: str | None = None, **options: Any) -> Any:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(graph))
        chosen = ComfyOptions(
            base_url=server.url,
            workflow=str(path),
            api_key_env="KEY" if key else None,
            **options,
        )
        secrets = Secrets({"api_key_env": key} if key else {})
        context = BackendContext(name="comfy", clock=SystemClock(), secrets=secrets)
        built.append(create(chosen, context))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()  # type: ignore[attr-defined]  # every remote backend has it


class Scene:
    """A workflow with a batch of 3, on a server that costs 0.02 dollars an image."""

    def __init__(
        self, server: ComfyServer, folder: Path, read: pytest.CaptureFixture[str]
    ) -> None:
        self.server, self.folder, self._read = server, folder, read
        (folder / "workflow.json").write_text(json.dumps(workflow(batch=3)))
        self.config = configured(server, folder, price=0.02)

    def ask(self, *words: str) -> tuple[int, str, str]:
        code = main([*words, "--config", str(self.config)])
        return code, *self._read.readouterr()

    @property
    def batches(self) -> list[int]:
        return [
            each.graph["latent"]["inputs"]["batch_size"] for each in self.server.prompts
        ]


@pytest.fixture
def scene(
    server: ComfyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(server, tmp_path, capsys)


def workflow(*, batch: int = 1, **nodes: dict[str, Any]) -> Graph:
    """Return a graph with a batch of its own and other nodes; None removes one."""
    graph = fill_workflow(load_workflow("sd15"), JOB)
    graph["latent"]["inputs"]["batch_size"] = batch  # type: ignore[index]
    graph.update(nodes)
    return {name: node for name, node in graph.items() if node}


def node(kind: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def later_pass(graph: Graph) -> Graph:
    """Return the graph with a second pass on the image of the first, saved as well."""
    sampler = graph["sampler"]["inputs"]
    return {
        **graph,
        "larger": node(
            "LatentUpscaleBy",
            samples=["sampler", 0],
            upscale_method="nearest-exact",
            scale_by=1.5,
        ),
        "again": node(
            "KSampler", **{**sampler, "latent_image": ["larger", 0], "denoise": 0.5}
        ),
        "decode2": node("VAEDecode", samples=["again", 0], vae=["checkpoint", 2]),
        "hires": node("SaveImage", images=["decode2", 0], filename_prefix="hires"),
    }


def files_of(backend: ImageBackend, job: ImageJob = JOB) -> list[str]:
    generated = backend.generate(job, StoppableContext())
    assert len(generated.images) == len(generated.parameters["files"])  # type: ignore[arg-type]
    return [name.rpartition("/")[2] for name in generated.parameters["files"]]  # type: ignore[attr-defined]


def test_a_workflow_with_nan_and_infinity_runs_and_is_found(
    build: Build, server: ComfyServer
) -> None:
    graph = workflow()
    graph["sampler"]["inputs"] |= {"low": float("nan"), "high": float("inf")}
    backend = build(graph)
    assert isinstance(backend, LookupBackend)
    since = datetime(2026, 1, 1, tzinfo=UTC)

    backend.generate(JOB, StoppableContext())

    (sent,) = server.prompts
    assert isnan(sent.graph["sampler"]["inputs"]["low"])
    assert sent.graph["sampler"]["inputs"]["high"] == float("inf")
    found = backend.find(JOB, since=since, context=StoppableContext())
    assert list(found) == server.ran


# Several images


BOTH = {"output": ["hires", "save"]}


def test_all_images_arrive_in_the_order_of_the_outputs(
    build: Build, server: ComfyServer
) -> None:
    backend = build(later_pass(workflow()), bindings=BOTH, prefix="")

    assert files_of(backend) == ["hires_00001_.png", "imagen_00001_.png"]


def test_a_chosen_output_is_the_only_one(build: Build) -> None:
    graph = later_pass(workflow())

    backend = build(graph, bindings={"output": "hires"}, prefix="")

    assert files_of(backend) == ["hires_00001_.png"]


def test_an_image_that_is_only_shown_is_no_extra(build: Build) -> None:
    shown = node("PreviewImage", images=["decode", 0])

    assert len(files_of(build(workflow(shown=shown)))) == 1


@pytest.mark.parametrize(
    ("count", "batches"), [((), [3]), (("-n", "1"), [1]), (("-n", "2"), [1, 1])]
)
def test_a_batch_of_the_workflow_is_kept_if_no_number_is_requested(
    scene: Scene, count: tuple[str, ...], batches: list[int]
) -> None:
    code, out, _ = scene.ask("generate", "a cat", "-o", "out/cat.png", *count)

    assert code == 0
    assert len({*out.splitlines()}) == sum(batches)
    assert len(list(scene.folder.glob("out/*.png"))) == sum(batches)
    assert scene.batches == batches


@pytest.mark.parametrize(("count", "images"), [((), 3), (("-n", "2"), 2)])
def test_the_images_of_a_batch_are_in_the_estimate_and_the_cost(
    scene: Scene, count: tuple[str, ...], images: int
) -> None:
    words = ("generate", "a cat", *count)
    _, out, _ = scene.ask(*words, "--estimate", "--json")
    estimate = json.loads(out)
    code, _, err = scene.ask(*words, "--max-cost", f"{0.02 * images - 0.01:.2f}")

    assert (estimate["images"], estimate["cost_usd"]) == (images, 0.02 * images)
    assert (code, scene.batches) == (5, []), err


def test_the_first_image_of_a_batch_has_the_others_as_extras(scene: Scene) -> None:
    with imagen.Studio(config=scene.config) as studio:
        image = studio.generate("a cat", output="out/")
        (alone,) = studio.rerun(image, count=1, output="out/")
        studio.rerun(alone, output="out/")
        studio.rerun(image, output="out/")

    assert len({image.path, *(extra.path for extra in image.extras)}) == 3
    assert scene.batches == [3, 1, 1, 3]


def test_a_batch_is_not_written_to_standard_output(scene: Scene) -> None:
    code, _, err = scene.ask("generate", "a cat", "-o", "-")

    assert (code, scene.batches) == (2, [])
    assert "3 images cannot be written" in err


def test_a_rerun_finds_the_image_of_a_batch_among_the_others(scene: Scene) -> None:
    _, out, _ = scene.ask("generate", "a cat", "-o", "out/")

    code, _, err = scene.ask("rerun", out.splitlines()[1], "--verify", "-o", "out/")

    assert (code, err.count("The same as")) == (0, 1), err
    assert scene.batches == [3, 3]


def test_a_sweep_has_one_image_for_each_combination(scene: Scene) -> None:
    code, out, _ = scene.ask("sweep", "a cat", "--seed", "1,2", "-o", "out/")

    assert (code, scene.batches) == (0, [1, 1]), out


def test_images_are_deleted_and_made_again_together(
    build: Build, server: ComfyServer
) -> None:
    backend = build(later_pass(workflow()), bindings=BOTH)
    for name in files_of(backend):
        server.delete_file(name)

    assert len(files_of(backend)) == 2


def test_an_extra_that_was_deleted_is_made_again(
    build: Build, server: ComfyServer
) -> None:
    build_extra = node("SaveImage", images=["paper", 0], filename_prefix="paper")
    paper = node("EmptyImage", width=64, height=64, batch_size=1, color=1)
    backend = build(workflow(paper=paper, other=build_extra))
    assert files_of(backend)[1] == "paper_00001_.png"
    server.delete_file("paper_00001_.png")

    assert len(files_of(backend)) == 2


# Images over the socket


def sends(batch: int = 1) -> Graph:
    return workflow(
        batch=batch, save={}, send=node("SaveImageWebsocket", images=["decode", 0])
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_images_that_are_only_sent_are_received(build: Build, batch: int) -> None:
    job = msgspec.structs.replace(JOB, count=batch)
    generated = build(sends(batch)).generate(job, StoppableContext())

    sides = [read_facts(image.content) for image in generated.images]
    assert [(each.width, each.height) for each in sides] == [(64, 64)] * batch


def test_a_sent_image_that_comes_late_is_waited_for(
    build: Build, server: ComfyServer
) -> None:
    server.trouble(late_frames=0.4)

    assert build(sends()).generate(JOB, StoppableContext()).images


@pytest.mark.parametrize(("key", "sent"), [(None, 2), ("k-1", 1)])
def test_a_sent_image_that_was_lost_is_called_lost(
    build: Build, server: ComfyServer, key: str | None, sent: int
) -> None:
    server.trouble(drops_socket="abort", deaf_after_reconnect=True)

    with pytest.raises(BackendError, match="its image is lost: SaveImageWebsocket"):
        build(sends(), key=key).generate(JOB, StoppableContext())

    assert server.count("POST", "/prompt") == sent


def test_a_sent_image_that_was_lost_is_made_again_where_it_is_free(
    build: Build, server: ComfyServer
) -> None:
    server.trouble(drops_socket="abort", deaf_after_reconnect=True, times=1)

    assert build(sends()).generate(JOB, StoppableContext()).images


def test_a_sent_image_that_was_lost_is_missing_beside_a_stored_one(
    build: Build, server: ComfyServer
) -> None:
    server.trouble(drops_socket="abort", deaf_after_reconnect=True)
    graph = workflow(send=node("SaveImageWebsocket", images=["decode", 0]))
    backend = build(graph, key="k-1", bindings={"output": ["save", "send"]})

    generated = backend.generate(JOB, StoppableContext())

    assert len(generated.images) == 1
    assert "its image is lost" in generated.deleted[1]


def test_a_sent_image_cannot_be_resumed(build: Build) -> None:
    context = RecordingContext()
    backend = build(sends())
    backend.generate(JOB, context)
    assert isinstance(backend, ResumableBackend)

    with pytest.raises(BackendError, match="its image is lost"):
        backend.resume(JOB, context.references[0], RecordingContext())


# Moving images


def test_an_animation_is_stored_as_it_is(build: Build) -> None:
    save = node(
        "SaveAnimatedWEBP",
        images=["decode", 0],
        filename_prefix="moves",
        fps=6.0,
        lossless=True,
        quality=80,
        method="default",
    )

    generated = build(workflow(batch=2, save=save)).generate(JOB, StoppableContext())

    (image,) = generated.images
    assert (image.content, image.media_type) == (ANIMATION, "image/webp")


def video(**more: dict[str, Any]) -> Graph:
    return workflow(
        video=node("CreateVideo", images=["decode", 0], fps=8.0),
        film=node(
            "SaveVideo",
            video=["video", 0],
            filename_prefix="video/x",
            format="auto",
            codec="auto",
        ),
        **more,
    )


def configured(server: ComfyServer, folder: Path, **more: object) -> Path:
    config = folder / "imagen.yaml"
    block = {
        "adapter": "comfyui",
        "base_url": server.url,
        "workflow": str(folder / "workflow.json"),
        **more,
    }
    config.write_text(json.dumps({"backends": {"comfy": block}}))
    return config


def test_a_video_beside_the_image_is_stored_unchanged(
    build: Build, server: ComfyServer, tmp_path: Path
) -> None:
    build(video())

    image = imagen.generate(
        "a cat",
        size="64x64",
        config=configured(server, tmp_path),
        output=f"{tmp_path}/out/",
    )

    assert image.path.is_file()
    (rescued,) = tmp_path.rglob("rescued/*.mp4")
    (stored,) = (server.folder / "output" / "video").iterdir()
    assert rescued.read_bytes() == stored.read_bytes()


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("SaveWEBM", {"codec": "vp9", "fps": 8.0, "crf": 32.0}),
        ("VHS_VideoCombine", {"format": "video/h264-mp4", "frame_rate": 8}),
        ("SaveAudio", {}),
        ("SaveGLB", {}),
    ],
)
def test_a_workflow_that_only_makes_a_video_is_refused_before_it_runs(
    build: Build, kind: str, inputs: dict[str, Any]
) -> None:
    save = node(kind, images=["decode", 0], filename_prefix="x", **inputs)

    with pytest.raises(Misconfigured, match="and imagen stores images"):
        build(workflow(save=save))


def test_a_film_alone_is_refused_before_it_runs(build: Build) -> None:
    with pytest.raises(Misconfigured, match="SaveVideo makes a video, and imagen"):
        build(video(save={}))


def test_a_gif_of_a_video_node_is_an_image(build: Build) -> None:
    save = node("VHS_VideoCombine", images=["decode", 0], format="image/gif")

    assert build(workflow(save=save)).capabilities().sizes

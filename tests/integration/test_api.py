"""The Python API as a script or a notebook uses it, with the mock and a real disk."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tests.nightly import examples

import imagen
from imagen.domain.events import Event, Stored

SMALL = "64x64"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_image_knows_where_and_how_it_is(here: Path) -> None:
    image = imagen.generate("a cat in a fishbowl", backend="mock", size=SMALL, seed=42)

    assert (here / image.path).read_bytes() == image.bytes
    assert (image.seed, image.width, image.height, image.cost_usd) == (42, 64, 64, 0)
    assert image.mime_type == "image/png"
    assert image.sidecar.prompt == "a cat in a fishbowl"
    assert image.pil().size == (64, 64)
    assert "seed=42" in repr(image)


@pytest.mark.parametrize("count", [1, 3])
def test_a_count_gives_a_list(count: int) -> None:
    images = imagen.generate("a cat", size=SMALL, count=count, seed=5)

    assert isinstance(images, list)
    assert [image.seed for image in images] == [5, 6, 7][:count]


@pytest.mark.parametrize("size", ["48x32", (48, 32)])
def test_a_size_is_text_or_a_pair(size: str | tuple[int, int]) -> None:
    image = imagen.generate("a cat", size=size)

    assert (image.width, image.height) == (48, 32)


def test_an_aspect_ratio_keeps_the_pixel_count_and_is_made_again_alike() -> None:
    image = imagen.generate("a cat", aspect="16:9", style="blog-header", seed=4)

    assert (image.width, image.height) == (1448, 815)
    assert image.sidecar.requested_size == "1448x815"
    assert image.sidecar.applied["aspect"] == "16:9"

    again = imagen.rerun(image)
    assert (again.width, again.height) == (1448, 815)
    assert again.pil().tobytes() == image.pil().tobytes()
    assert imagen.rerun(image, aspect="1:1").width == 1086


def test_an_aspect_ratio_and_a_size_exclude_each_other() -> None:
    with pytest.raises(imagen.InvalidRequest, match="size and an aspect ratio"):
        imagen.generate("a cat", aspect="16:9", size=SMALL)


def test_a_sweep_varies_the_aspect_ratio() -> None:
    made = imagen.sweep("a cat", aspect=["1:1", "4:1"], seed=1, sheet=False)

    assert [cell["aspect"] for cell in made.cells] == ["1:1", "4:1"]
    assert [(each.width, each.height) for each in made.images] == [
        (1024, 1024),
        (2048, 512),
    ]


def test_a_path_is_text_or_a_path(here: Path) -> None:
    image = imagen.generate("a cat", size=SMALL, output=here / "new" / "x.webp")

    assert image.path == here / "new" / "x.webp"
    assert image.mime_type == "image/webp"


def test_nothing_is_written_beside_or_inside_unless_wanted(here: Path) -> None:
    image = imagen.generate(
        "a cat", size=SMALL, output=here / "x.png", sidecar=False, metadata=False
    )

    assert not (here / "x.png.json").exists()
    assert b"tEXt" not in image.bytes


def test_works_in_a_running_loop() -> None:
    async def notebook() -> int | None:
        return imagen.generate("a cat", size=SMALL, seed=4).seed

    assert asyncio.run(notebook()) == 4


def test_several_at_once_in_async_code() -> None:
    async def three() -> list[int | None]:
        images = await asyncio.gather(
            *(imagen.agenerate("a cat", size=SMALL, seed=seed) for seed in (1, 2, 3))
        )
        return [image.seed for image in images]

    assert asyncio.run(three()) == [1, 2, 3]


def test_cancelling_the_task_cancels_the_job(here: Path) -> None:
    heard: list[Event] = []
    begun, ended = threading.Event(), threading.Event()

    def listen(event: Event) -> None:
        heard.append(event)
        begun.set()
        if type(event).__name__ == "Finished":
            ended.set()

    async def impatient() -> None:
        work = imagen.agenerate("a cat", set={"fail": "silent"}, listen=listen)
        task = asyncio.create_task(work)
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())

    assert ended.wait(60)
    assert [getattr(event, "code", "") for event in heard][-2] == "cancelled"
    assert list(here.glob("*.png")) == []


def test_a_studio_serves_many_threads(here: Path) -> None:
    with imagen.Studio() as studio:
        seeds: list[int | None] = []

        def work(seed: int) -> None:
            seeds.append(studio.generate("a cat", size=SMALL, seed=seed).seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(seed or 0 for seed in seeds) == list(range(1, 9))
    assert len(list(here.glob("*.png"))) == 8


def test_a_closed_studio_says_so() -> None:
    with imagen.Studio() as studio:
        pass

    with pytest.raises(imagen.InvalidRequest, match="closed"):
        studio.generate("a cat")


def test_a_studio_reads_its_config(here: Path) -> None:
    (here / "c.yaml").write_text(
        "default_backend: slow\n"
        "output: {dir: out, naming: '{backend}/{slug}.{ext}'}\n"
        "backends: {slow: {adapter: mock, size: 32x32}}\n"
    )

    with imagen.Studio(config=here / "c.yaml") as studio:
        image = studio.generate("a cat")

    assert image.path == Path("out/slow/a-cat.png")
    assert image.width == 32


def test_an_estimate_makes_nothing(here: Path) -> None:
    estimate = imagen.estimate("a cat", count=3, style="blog-header")

    assert (estimate.images, estimate.calls, estimate.size) == (3, 3, "1536x768")
    assert len(estimate.seeds) == 3
    assert estimate.cost_usd == 0
    assert list(here.glob("*.png")) == []


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"set": {"fail": "refused"}}, imagen.Refused),
        ({"set": {"fail": "unauthorized"}}, imagen.Unauthorized),
        ({"set": {"fail": "silent"}, "timeout": 0.2}, imagen.TimedOut),
        ({"size": "1x1"}, imagen.InvalidRequest),
        ({"size": "1x1"}, ValueError),
        ({"style": "nobody's"}, imagen.InvalidRequest),
        ({"backend": "nobody's"}, imagen.InvalidRequest),
        ({"fit": "squeeze"}, imagen.InvalidRequest),
        ({"set": {"nothing": 1}}, imagen.Unsupported),
        ({"set": {"delay": "long"}}, imagen.InvalidRequest),
        ({"output": "-"}, imagen.InvalidRequest),
        ({"output": "x.tiff"}, imagen.InvalidRequest),
        ({"config": "not/there.yaml"}, imagen.Misconfigured),
    ],
)
def test_errors_have_their_own_classes(
    here: Path, parameters: dict[str, object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        imagen.generate("a cat", **parameters)  # type: ignore[call-overload]

    assert [path for path in here.rglob("*") if path.is_file()] == []


def test_when_some_fail_the_others_are_not_lost(here: Path) -> None:
    (here / "c.yaml").write_text("backends: {mine: {adapter: mock, concurrency: 1}}")
    folder = here / "images"

    def remove_folder(event: Event) -> None:
        if isinstance(event, Stored) and event.number == 2:
            folder.rename(here / "moved")
            folder.write_text("in the way of the third image")

    with pytest.raises(imagen.SomeImagesFailed) as failure:
        imagen.generate(
            "a cat",
            size=SMALL,
            count=3,
            output=folder / "x.png",
            config=here / "c.yaml",
            backend="mine",
            listen=remove_folder,
        )

    names = [image.path.name for image in failure.value.images]  # type: ignore[attr-defined]
    assert names == ["x-1.png", "x-2.png"]
    assert [error.code for error in failure.value.errors] == ["storage_error"]
    assert "safe at" in failure.value.errors[0].message


def test_none_is_a_negative_prompt_that_is_not_given(here: Path) -> None:
    made = imagen.generate("a cat", size=SMALL, negative="mud", output=here / "x.png")

    assert imagen.rerun(made.path, negative=None).sidecar.negative == "mud"
    assert imagen.generate("a cat", size=SMALL, negative=None).sidecar.negative == ""
    assert imagen.estimate("a cat", size=SMALL, negative=None).negative == ""


def test_a_listener_that_raises_costs_nothing() -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event)

    assert imagen.generate("a cat", size=SMALL, listen=broken).path.exists()


def test_shows_itself_with_its_caption_and_nothing_that_runs() -> None:
    image = imagen.generate("<script>alert('x')</script>", size=SMALL, seed=42)

    html = image._repr_mimebundle_()["text/html"]

    assert "data:image/png;base64," in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "seed 42" in html


def test_a_list_shows_itself_as_a_grid() -> None:
    images = imagen.generate("a cat", size=SMALL, count=4)

    html = images._repr_mimebundle_()["text/html"]

    assert html.count("<figure") == 4
    assert "display:grid" in html


def test_memory_does_not_grow_with_the_images(here: Path) -> None:
    import gc
    import tracemalloc

    with imagen.Studio() as studio:

        def make(count: int) -> int:
            for seed in range(1, count + 1):
                studio.generate("a cat", size="16x16", seed=seed, output=here / "x.png")
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            early = make(40)
            late = make(count := examples(60, nightly=200))
        finally:
            tracemalloc.stop()

    assert late - early < 1000 * count


def test_an_image_is_made_again_by_its_path_its_id_or_itself(here: Path) -> None:
    image = imagen.generate("a cat", size=SMALL, seed=5)

    for name in (image, image.path, str(image.path), image.sidecar.id, "last"):
        again = imagen.rerun(name)
        assert again.pil().tobytes() == image.pil().tobytes()
        assert again.path != image.path


def test_what_is_made_again_can_differ() -> None:
    image = imagen.generate("a cat", size=SMALL, seed=5)

    images = imagen.rerun(image, count=2, seed=7, steps=3, size="32x32")

    assert [each.seed for each in images] == [7, 8]
    assert (images[0].sidecar.steps, images[0].width) == (3, 32)


def test_an_image_that_is_not_there_cannot_be_made_again() -> None:
    with pytest.raises(imagen.InvalidRequest):
        imagen.rerun("nowhere.png")
    with pytest.raises(TypeError, match="colour"):
        imagen.rerun("nowhere.png", colour="x")  # type: ignore[call-overload]


def test_a_sweep_has_images_cells_and_a_sheet(here: Path) -> None:
    made = imagen.sweep(
        "a cat", seed=range(1, 3), steps="4,8", size=(48, 32), set={"delay": [0, 0.01]}
    )

    assert len(made.images) == 8
    assert made.cells[0] == {"size": "48x32", "set.delay": 0, "steps": 4, "seed": 1}
    assert [image.seed for image in made.images] == [1, 2] * 4
    assert made.page is not None
    assert made.page.is_file()
    assert made.picture is not None
    assert made.picture.read_bytes()[1:4] == b"PNG"
    assert set(made._repr_mimebundle_()) == {"image/png", "text/plain"}


def test_of_a_sweep_that_fails_in_part_the_rest_is_there(here: Path) -> None:
    (here / "c.yaml").write_text(
        "backends: {a: {adapter: mock}, b: {adapter: mock, fail: refused}}"
    )

    with pytest.raises(imagen.SomeImagesFailed) as raised:
        imagen.sweep("a cat", backend=["a", "b"], size=SMALL, config="c.yaml")

    assert len(raised.value.images) == len(raised.value.errors) == 1
    assert len(list(here.glob("*-sheet.html"))) == 1


def test_if_the_sheet_cannot_be_stored_the_images_are_not_lost(here: Path) -> None:
    def block(event: Event) -> None:
        if isinstance(event, Stored):
            (here / "x-sheet.png").mkdir()

    with pytest.raises(imagen.SomeImagesFailed, match="sheet is not") as raised:
        imagen.sweep("a cat", size=SMALL, output="x.png", listen=block)

    assert len(raised.value.images) == 1
    assert [error.code for error in raised.value.errors] == ["storage_error"]


def test_a_sweep_without_a_sheet_shows_its_images() -> None:
    made = imagen.sweep("a cat", size=[SMALL, "32x32"], sheet=False)

    assert (made.page, made.picture) == (None, None)
    assert made._repr_mimebundle_()["text/html"].count("<figure") == 2


def test_a_listener_hears_a_sweep_too() -> None:
    heard: list[Event] = []

    imagen.sweep("a cat", seed=[1, 2], size=SMALL, listen=heard.append)

    names = [type(event).__name__ for event in heard]
    assert (names[0], names.count("Stored"), names[-1]) == ("Planned", 2, "Finished")

"""An image is made again, from whatever says how it was made."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen
from tests.e2e.conftest import Ask, assert_one_sentence, left_behind
from tests.integration.replicate.server import ReplicateServer
from tests.unit.domain.written import GRAPH, INFOTEXT, png

SMALL = ("--size", "64x48")
TWO = """\
default_backend: plain
backends:
  plain: {adapter: mock, without: [negative], size_multiple: 64}
  other: {adapter: mock}
styles: {wide: {prompt: "{prompt}, changed since"}}
"""


def note_of(path: Path) -> dict[str, object]:
    return dict(json.loads(path.with_name(path.name + ".json").read_bytes()))


def asked(note: dict[str, object]) -> dict[str, object]:
    """What of a note is about the making, and not about this very file."""
    new = {"id", "created_at", "bytes", "sha256", "latency_ms"}
    return {key: value for key, value in note.items() if key not in new}


@pytest.fixture
def fox(ask: Ask, here: Path) -> Path:
    made = ("--style", "blog-header", "--negative", "dogs", "--steps", "9", *SMALL)
    run = ask("generate", "a fox", *made, "--seed", "5", "-o", "fox.png")
    assert run.code == 0
    return here / "fox.png"


def test_the_pixels_are_equal_and_so_is_what_the_sidecar_says(
    ask: Ask, fox: Path, here: Path
) -> None:
    run = ask("rerun", "fox.png", "--verify", "-o", "again.png")

    assert run.code == 0
    assert run.lines == ["again.png"]
    assert run.err == "imagen: The same as fox.png, pixel for pixel.\n"
    assert asked(note_of(here / "again.png")) == asked(note_of(fox))


def test_another_seed_is_not_the_same(ask: Ask, fox: Path) -> None:
    run = ask("rerun", str(fox), "--verify", "--seed", "6", "--json")

    assert run.code == 1
    (said,) = run.objects
    assert (said["seed"], said["equal"]) == (6, False)
    assert "Not the same as" in run.err


def test_prompt_style_and_negative_are_replaced(
    ask: Ask, fox: Path, here: Path
) -> None:
    dog = ask("rerun", "fox.png", "--prompt", "a dog", "-o", "dog.png")
    photo = ask("rerun", "fox.png", "--style", "photo", "-o", "photo.png")
    fog = ask("rerun", "fox.png", "--negative", "fog", "-o", "fog.png")

    assert (dog.code, photo.code, fog.code) == (0, 0, 0)
    old, of_dog = note_of(fox), note_of(here / "dog.png")
    assert of_dog["prompt_sent"] == str(old["prompt_sent"]).replace("fox", "dog")
    assert (of_dog["prompt"], of_dog["style"]) == ("a dog", "blog-header")
    assert of_dog["negative"] == old["negative"] == "text, watermark, dogs"
    of_photo = note_of(here / "photo.png")
    assert str(of_photo["prompt_sent"]).startswith("a fox, natural light")
    negative = "illustration, rendering, text, watermark, dogs"
    assert (of_photo["style"], of_photo["negative"]) == ("photo", negative)
    assert (of_photo["width"], of_photo["seed"]) == (64, 5)
    assert note_of(here / "fog.png")["negative"] == "fog"


def test_the_prompt_can_come_from_standard_input(
    ask: Ask, fox: Path, here: Path
) -> None:
    words, dog = ("rerun", "fox.png", "--prompt", "-"), b"a dog\nin the fog\n"

    estimate = ask(*words, "--estimate", "--json", stdin=dog)
    run = ask(*words, "-o", "dog.png", stdin=dog)
    empty = ask(*words)
    option = ask("rerun", "fox.png", "--prompt", "--strict")

    assert (estimate.code, run.code) == (0, 0)
    assert estimate.objects[0]["prompt_sent"].startswith("a dog\nin the fog, wide")
    assert note_of(here / "dog.png")["prompt"] == "a dog\nin the fog"
    assert (empty.code, "The prompt is empty" in empty.err) == (2, True)
    assert (option.code, "--strict looks like an option" in option.err) == (2, True)


def test_python_replaces_the_prompt_too(ask: Ask, fox: Path) -> None:
    image = imagen.rerun(fox, prompt="a dog", style="photo", negative="fog")

    assert image.sidecar.prompt_sent.startswith("a dog, natural light")
    assert image.sidecar.negative.endswith("watermark, fog")


def test_an_estimate_reports_what_the_run_would(ask: Ask, here: Path) -> None:
    (here / "x.png").write_bytes(png(parameters=INFOTEXT))

    estimate = ask("rerun", "x.png", "--backend", "mock", "--estimate")
    as_json = ask("rerun", "x.png", "--backend", "mock", "--estimate", "--json")
    run = ask("rerun", "x.png", "--backend", "mock")

    note = "other parameters of AUTOMATIC1111 are not used: sampler Euler a"
    assert note in run.err
    assert f"notes: {note}" in estimate.out
    assert as_json.objects[0]["notes"][0].startswith(note)


@pytest.mark.parametrize("lost", ["sidecar", "sidecar and history", "all but inside"])
def test_any_note_is_enough(ask: Ask, fox: Path, lost: str) -> None:
    fox.with_name("fox.png.json").unlink()
    if lost != "sidecar":
        assert ask("history", "forget", "last").code == 0

    assert ask("rerun", "fox.png", "--verify").code == 0


def test_the_history_is_enough_when_the_file_is_gone(ask: Ask, fox: Path) -> None:
    fox.unlink()

    run = ask("rerun", "last", "-o", "again.png")

    assert (run.code, run.lines) == (0, ["again.png"])
    missing = ask("rerun", "last", "--verify")
    assert missing.code == 0  # the last is the new one now


def test_nothing_can_be_verified_against_a_file_that_is_gone(
    ask: Ask, fox: Path, here: Path
) -> None:
    fox.unlink()

    run = ask("rerun", "last", "--verify")

    assert run.code == 2
    assert_one_sentence(run.err, "does not exist", "--verify needs the file")
    assert left_behind(here) == ["fox.png.json"]


def test_it_may_replace_what_it_was_made_from(ask: Ask, fox: Path) -> None:
    assert ask("rerun", "fox.png", "--verify", "-o", "fox.png").code == 0


def test_a_style_that_was_changed_since_has_no_say(
    ask: Ask, here: Path, fox: Path
) -> None:
    (here / "c.yaml").write_text(TWO.replace("wide:", "blog-header:"))

    run = ask("rerun", "fox.png", "--backend", "other", "--config", "c.yaml", "--json")

    (said,) = run.objects
    assert said["style"] == "blog-header"
    assert said["prompt_sent"] == note_of(fox)["prompt_sent"]
    assert said["negative"] == "text, watermark, dogs"


def test_a_jpeg_is_compared_as_a_jpeg(ask: Ask) -> None:
    ask("generate", "a fox", *SMALL, "-o", "fox.jpg")

    assert ask("rerun", "fox.jpg", "--verify", "-o", "again.png").code == 0


def test_the_format_stays_on_the_same_backend(ask: Ask, here: Path) -> None:
    ask("generate", "a fox", *SMALL, "-o", "fox.jpg")

    run = ask("rerun", "fox.jpg", "--verify")

    (path,) = run.lines
    assert path.endswith(".jpg")
    assert run.code == 0


def test_several_have_seeds_that_follow_on(ask: Ask, fox: Path) -> None:
    run = ask("rerun", "fox.png", "-n", "3", "--json")

    assert [said["seed"] for said in run.objects] == [5, 6, 7]


def test_what_another_backend_cannot_is_said_before_anything_is_sent(
    ask: Ask, fox: Path, here: Path
) -> None:
    (here / "c.yaml").write_text(TWO)
    words = ("rerun", "fox.png", "--backend", "plain", "--config", "c.yaml")

    run = ask(*words, "-o", "new/")

    assert run.code == 0
    assert run.err.splitlines() == [
        "imagen: warning: negative is ignored: plain takes no negative prompt",
        "imagen: warning: size 64x48 becomes 64x64: the nearest that plain supports",
    ]
    strict = ask(*words, "--strict", "-o", "strict/")
    assert strict.code == 2
    assert not (here / "strict").exists()


def test_a_backend_that_is_gone_is_replaced_and_recorded(
    ask: Ask, fox: Path, here: Path
) -> None:
    (here / "c.yaml").write_text(
        "backends: {box: {adapter: comfyui}, m: {adapter: mock}}"
    )
    mine = note_of(fox)
    mine["backend"] = "gone"
    (here / "fox.png.json").write_text(json.dumps(mine))

    run = ask("rerun", "fox.png", "--config", "c.yaml", "--json", *SMALL)

    (said,) = run.objects
    assert said["backend"] in {"m", "mock"}
    assert said["adjusted"]["backend"]["requested"] == "gone"
    assert "backend gone becomes" in run.err


def test_what_another_tool_wrote_is_made_again(ask: Ask, here: Path) -> None:
    (here / "sd.png").write_bytes(png(parameters=INFOTEXT))

    run = ask("rerun", "sd.png", "--json")

    (said,) = run.objects
    assert said["prompt"] == said["prompt_sent"] == "a fox, <lora:ink:0.8>\nin the snow"
    assert (said["seed"], said["steps"]) == (2**64 - 1, 20)
    assert (said["width"], said["height"]) == (512, 768)
    assert said["adjusted"]["model"]["requested"] == "sd: 1"
    first, *warnings = run.err.splitlines()
    assert first == "imagen: Using the parameters that AUTOMATIC1111 recorded."
    assert any("sampler Euler a" in line for line in warnings)


def test_a_graph_is_made_again(ask: Ask, here: Path) -> None:
    (here / "c.png").write_bytes(png(prompt=GRAPH))

    run = ask("rerun", "c.png", "--json")

    (said,) = run.objects
    assert (said["prompt"], said["negative"]) == ("a fox", "dogs")
    assert (said["seed"], said["steps"]) == (7, 20)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("nowhere.png",), "No such file: nowhere.png"),
        (("bare.png",), "No metadata says how bare.png was made"),
        (("text.png",), "not a complete image"),
        (("last",), "No image was made on this machine yet"),
        (("bare.png", "--verify", "-n", "2"), "--verify compares one image"),
        (("bare.png", "-o", "-", "--json"), "`--output -` cannot be combined"),
    ],
)
def test_what_cannot_be_made_again_is_one_sentence(
    ask: Ask, here: Path, words: tuple[str, ...], fragment: str
) -> None:
    (here / "bare.png").write_bytes(png())
    (here / "text.png").write_text("no picture")

    run = ask("rerun", *words)

    assert run.code == 2
    assert_one_sentence(run.err.replace("imagen: \n", ""), fragment)


def test_an_estimate_sends_nothing(ask: Ask, fox: Path, here: Path) -> None:
    run = ask("rerun", "fox.png", "--estimate", "--json")

    assert run.objects[0]["seeds"] == [5]
    assert left_behind(here) == ["fox.png", "fox.png.json"]


def test_the_bytes_go_out_on_standard_output(ask: Ask, fox: Path) -> None:
    run = ask("rerun", "fox.png", "-o", "-", "--verify")

    assert run.code == 0
    assert run.bytes.startswith(b"\x89PNG")


@pytest.fixture
def vendor() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


def test_a_paid_image_is_asked_for_with_the_very_same_words(
    ask: Ask, here: Path, vendor: ReplicateServer
) -> None:
    env = {"REPLICATE_API_TOKEN": vendor.token, "IMAGEN_CONFIG": str(here / "c.yaml")}
    block = {"adapter": "replicate", "base_url": vendor.url}
    (here / "c.yaml").write_text(json.dumps({"backends": {"paid": block}}))
    words = ("--set", "go_fast=false", "--size", "1152x896", "--steps", "4")
    made = ask("generate", "a fox", "--backend", "paid", *words, env=env)
    assert made.code == 0, made.err

    again = ask("rerun", "last", "--strict", "--json", env=env)

    assert again.code == 0, again.err
    (path,) = made.lines
    (said,) = again.objects
    elsewhere = {"usage_id", "path", "source_sha256", "parameters"}
    assert {k: v for k, v in asked(said).items() if k not in elsewhere} == {
        k: v for k, v in asked(note_of(here / path)).items() if k not in elsewhere
    }
    first, second = (prediction.given for prediction in vendor.predictions)
    assert second == first | {"output_format": second["output_format"]}


def test_what_it_was_made_from_goes_along_under_another_name(
    ask: Ask, here: Path, vendor: ReplicateServer
) -> None:
    env = {"REPLICATE_API_TOKEN": vendor.token, "IMAGEN_CONFIG": str(here / "c.yaml")}
    block = {"adapter": "replicate", "base_url": vendor.url, "model": "acme/collage"}
    (here / "c.yaml").write_text(json.dumps({"backends": {"paid": block}}))
    (here / "a.png").write_bytes(png())
    words = ("--backend", "paid", "--image", "a.png", "-o", "x.png")
    assert ask("generate", "a fox", *words, env=env).code == 0
    (here / "a.png").rename(here / "b.png")

    again = ask("rerun", "x.png", "--json", env=env)

    assert again.code == 0, again.err
    (said,) = again.objects
    assert said["references"] == note_of(here / "x.png")["references"]
    first, second = (prediction.given for prediction in vendor.predictions)
    assert second == first | {"input_images": second["input_images"]}
    assert first["output_format"] == "png"
    (here / "b.png").unlink()
    missing = ask("rerun", "x.png", env=env)
    assert missing.code == 2
    assert_one_sentence(missing.err, "made from a.png", "--image")
    assert len(vendor.predictions) == 2

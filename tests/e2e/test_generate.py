import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from imagen.domain.sidecar import Sidecar
from tests.e2e.conftest import (
    Ask,
    Imagen,
    Shell,
    Start,
    assert_one_sentence,
    left_behind,
)

SMALL = ("--size", "64x64")


def test_prints_the_path_of_a_picture_and_nothing_else(
    imagen: Imagen, here: Path
) -> None:
    run = imagen("generate", "a cat in a fishbowl", *SMALL, "--seed", "42")

    assert (run.code, run.err) == (0, "")
    (path,) = run.lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-a-cat-in-a-fishbowl-42\.png", path)
    with Image.open(here / path) as picture:
        assert picture.size == (64, 64)
    assert left_behind(here) == [path, path + ".json"]


@pytest.mark.parametrize("flag", ["--aspect", "--size"])
def test_an_aspect_ratio_replaces_the_size(ask: Ask, here: Path, flag: str) -> None:
    run = ask("generate", "a cat", flag, "16:9", "--json")

    (image,) = run.objects
    assert (run.code, run.err) == (0, "")
    assert (image["width"], image["height"]) == (1365, 768)
    assert image["requested_size"] == "1365x768"
    assert image["applied"]["aspect"] == "16:9"
    again = ask("rerun", str(image["path"]), "--json", "--verify")
    assert (again.code, again.objects[0]["requested_size"]) == (0, "1365x768")


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--aspect", "0:1"), "Invalid aspect ratio '0:1'. Use WIDTH:HEIGHT"),
        (("--aspect", "16"), "Invalid aspect ratio '16'."),
        (("--size", "16:0"), "Invalid aspect ratio '16:0'."),
        (
            ("--aspect", "9000:1"),
            "An aspect ratio of 9000:1 makes",
        ),
        (("--aspect", "16:9", "--size", "64x64"), "A size and an aspect ratio"),
    ],
)
def test_an_invalid_aspect_ratio_is_one_sentence(
    ask: Ask, here: Path, words: tuple[str, ...], fragment: str
) -> None:
    run = ask("generate", "a cat", *words)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, fragment)
    assert left_behind(here) == []


def test_the_sidecar_has_the_keys_of_the_specification_in_their_order(
    ask: Ask, here: Path
) -> None:
    ask("generate", "a cat", *SMALL, "-o", "x.png")

    note = json.loads((here / "x.png.json").read_text("utf-8"))
    keys = """
        schema id usage_id created_at prompt negative style prompt_sent prompt_sha256
        backend adapter model seed steps width height requested_size mime_type bytes
        sha256 source_sha256 latency_ms cost_usd cost_source caller parameters applied
        ignored adjusted references warnings imagen_version extra
    """
    assert list(note) == keys.split()


def test_the_sidecar_tells_the_truth_about_the_file(ask: Ask, here: Path) -> None:
    ask("generate", "a cat", *SMALL, "-o", "x.png", env={"MAI_FROM_ID": "ci"})

    note = msgspec.json.decode((here / "x.png.json").read_bytes(), type=Sidecar)
    content = (here / "x.png").read_bytes()
    assert note.bytes == len(content)
    assert note.sha256 == hashlib.sha256(content).hexdigest()
    assert note.prompt_sha256 == hashlib.sha256(b"a cat").hexdigest()
    assert (note.width, note.height, note.mime_type) == (64, 64, "image/png")
    assert note.caller == "ci"
    assert 1 <= (note.seed or 0) < 2**31


def test_the_picture_says_inside_how_it_was_made(ask: Ask, here: Path) -> None:
    ask("generate", "a cat", *SMALL, "--seed", "7", "--negative", "dogs", "-o", "x.png")

    with Image.open(here / "x.png") as picture:
        texts = dict(picture.info)
    assert json.loads(texts["imagen"])["seed"] == 7
    assert texts["parameters"].startswith(
        "a cat\nNegative prompt: dogs\nSteps: 20, Seed: 7"
    )


def test_the_same_words_make_the_same_picture(ask: Ask, here: Path) -> None:
    for name in ("a.png", "b.png"):
        ask("generate", "a cat", *SMALL, "--seed", "7", "--no-metadata", "-o", name)

    assert (here / "a.png").read_bytes() == (here / "b.png").read_bytes()


def test_a_style_of_the_sample_works_without_a_config(ask: Ask) -> None:
    run = ask("generate", "RAG systems", "--style", "blog-header", "--json")

    (note,) = run.objects
    assert note["style"] == "blog-header"
    assert note["prompt_sent"].startswith("RAG systems, wide editorial illustration")
    assert (note["width"], note["height"]) == (1536, 768)


def test_several_images_have_seeds_that_follow_on(ask: Ask, here: Path) -> None:
    run = ask("generate", "a cat", *SMALL, "-n", "3", "--seed", "5", "-o", "x.png")

    assert run.lines == ["x-1.png", "x-2.png", "x-3.png"]
    seeds = [
        json.loads((here / f"x-{n}.png.json").read_text())["seed"] for n in (1, 2, 3)
    ]
    assert seeds == [5, 6, 7]


def test_the_prompt_comes_in_on_standard_input(ask: Ask) -> None:
    run = ask("generate", "-", *SMALL, "--json", stdin="ein Bär\n".encode())

    assert run.objects[0]["prompt"] == "ein Bär"


def test_a_prompt_that_is_piped_in_needs_no_argument(sh: Shell, here: Path) -> None:
    piped = sh('echo "a red fox" | "$0" generate --size 32x32 -o x.png')
    (here / "fox.txt").write_text("a red fox")
    redirected = sh('"$0" generate --size 32x32 -o y.png < fox.txt')
    nothing = sh('"$0" generate --size 32x32 < /dev/null')

    assert (piped.code, piped.out, piped.err) == (0, "x.png\n", "")
    assert (redirected.code, redirected.out) == (0, "y.png\n")
    for name in ("x", "y"):
        sidecar = json.loads((here / f"{name}.png.json").read_text("utf-8"))
        assert sidecar["prompt"] == "a red fox"
    assert (nothing.code, nothing.out) == (2, "")
    assert_one_sentence(nothing.err, "PROMPT is missing.")


def test_the_name_of_a_command_is_a_prompt_after_two_hyphens(ask: Ask) -> None:
    run = ask("generate", *SMALL, "--json", "--", "help")

    assert run.objects[0]["prompt"] == "help"


def test_a_value_that_is_the_name_of_a_command_is_no_prompt(ask: Ask) -> None:
    run = ask("generate", "--negative", "help", "a cat", *SMALL)

    assert run.code == 0


def test_show_and_strip_and_forget_answer_in_json(ask: Ask, here: Path) -> None:
    made = ask("generate", "a cat", *SMALL, "--seed", "7", "-o", "x.png", "--json")

    assert ask("show", "x.png", "--json").objects == [
        {
            "path": "x.png",
            "prompt": "a cat",
            "facts": "mock · seed 7 · 64x64 · $0.00",
        }
    ]
    assert ask("strip", "x.png", "--json").objects == [{"path": "x-stripped.png"}]
    assert ask("history", "forget", "last", "--json").objects == [
        {"id": made.objects[0]["id"], "path": str(here / "x.png")}
    ]


def test_a_prompt_from_windows_loses_its_mark_and_carriage_returns(ask: Ask) -> None:
    typed = "\ufeffein Bär\r\nim Schnee\rund Eis\r\n".encode()

    run = ask("generate", "-", *SMALL, "--json", stdin=typed)

    assert run.objects[0]["prompt"] == "ein Bär\nim Schnee\rund Eis"


def test_the_bytes_go_out_on_standard_output(ask: Ask, here: Path) -> None:
    run = ask("generate", "a cat", *SMALL, "-o", "-")

    assert run.bytes.startswith(b"\x89PNG")
    assert (run.code, left_behind(here)) == (0, [])


def test_an_output_file_and_its_sidecar_are_replaced(ask: Ask, here: Path) -> None:
    ask("generate", "a cat", *SMALL, "-o", "x.png")
    run = ask("generate", "a dog", *SMALL, "-o", "x.png", "--no-sidecar")

    assert run.lines == ["x.png"]
    assert left_behind(here) == ["x.png"]


@pytest.mark.parametrize("output", ["new/folder/", "there"])
def test_a_folder_gets_a_templated_name(ask: Ask, here: Path, output: str) -> None:
    (here / "there").mkdir()

    run = ask("generate", "a cat", *SMALL, "-o", output)

    assert Path(run.lines[0]).parent == Path(output)
    assert (here / run.lines[0]).exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("x.webp", "WEBP"), ("x.jpg", "JPEG"), ("x.JPEG", "JPEG")]
)
def test_the_extension_decides_the_format(
    ask: Ask, here: Path, name: str, kind: str
) -> None:
    ask("generate", "a cat", *SMALL, "-o", name)

    with Image.open(here / name) as picture:
        assert picture.format == kind
    note = json.loads((here / f"{name}.json").read_text())
    assert any("converted from image/png" in warning for warning in note["warnings"])


def test_a_templated_name_never_overwrites(ask: Ask, here: Path) -> None:
    config = here / "c.yaml"
    config.write_text("output: {naming: '{slug}.{ext}'}")

    runs = [ask("generate", "a cat", *SMALL, "--config", "c.yaml") for _ in range(3)]

    assert [run.lines[0] for run in runs] == ["a-cat.png", "a-cat-2.png", "a-cat-3.png"]


def test_json_has_the_sidecar_and_the_path(ask: Ask, here: Path) -> None:
    run = ask("generate", "a cat", *SMALL, "--json")

    (note,) = run.objects
    path = note.pop("path")
    assert note == json.loads((here / f"{path}.json").read_text())


def test_an_estimate_sends_and_writes_nothing(ask: Ask, here: Path) -> None:
    run = ask("generate", "a cat", "--set", "fail=refused", "--estimate", "--json")

    assert run.code == 0
    assert run.objects[0]["images"] == 1
    assert left_behind(here) == []


def test_what_is_ignored_is_said_and_recorded(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text(
        "backends: {odd: {adapter: mock, without: [negative], size_multiple: 48}}"
    )

    words = ("generate", "a cat", "--negative", "dogs", "--size", "100x100")
    run = ask(*words, "--config", "c.yaml", "--json")

    assert run.err.splitlines() == [
        "imagen: warning: negative is ignored: odd takes no negative prompt",
        "imagen: warning: size 100x100 becomes 96x96: the nearest that odd supports",
    ]
    (note,) = run.objects
    assert note["ignored"] == {"negative": "odd takes no negative prompt"}
    assert note["adjusted"]["size"]["used"] == "96x96"
    assert (note["width"], note["requested_size"]) == (96, "100x100")


def test_strict_sends_nothing_that_would_not_be_as_asked(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text("backends: {odd: {adapter: mock, without: [seed]}}")

    run = ask("generate", "a cat", "--seed", "4", "--strict", "--config", "c.yaml")

    assert run.code == 2
    assert "seed is ignored" in run.err
    assert left_behind(here) == ["c.yaml"]


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_fit_reaches_exactly_the_size(ask: Ask, here: Path, fit: str) -> None:
    (here / "c.yaml").write_text("backends: {odd: {adapter: mock, size_multiple: 48}}")

    words = ("generate", "a cat", "--size", "100x70", "--fit", fit, "-o", "x.png")
    run = ask(*words, "--strict", "--config", "c.yaml")

    assert run.code == 0
    with Image.open(here / "x.png") as picture:
        assert picture.size == (100, 70)


@pytest.mark.parametrize(
    ("fail", "code", "name"),
    [
        ("refused", 4, "refused"),
        ("backend_error", 4, "backend_error"),
        ("no_image", 4, "backend_error"),
        ("truncated", 4, "backend_error"),
        ("unauthorized", 5, "unauthorized"),
        ("out_of_credit", 5, "out_of_credit"),
        ("unfinished", 7, "unfinished"),
    ],
)
def test_a_rehearsed_failure_has_its_exit_code_and_leaves_nothing(
    ask: Ask, here: Path, fail: str, code: int, name: str
) -> None:
    run = ask("generate", "a cat", "--set", f"fail={fail}", "--json")

    assert run.code == code
    assert run.objects[0]["error"]["code"] == name
    assert run.err.startswith("imagen: ")
    assert len(run.err.splitlines()) == 1
    assert left_behind(here) == []


def test_what_costs_nothing_is_tried_again(ask: Ask) -> None:
    # The timeout leaves out the longer waits; the engine's tests count the attempts.
    run = ask("generate", "a cat", "--set", "fail=unavailable", "--timeout", "3")

    assert run.code == 3
    assert "Retrying in 0.5 s." in run.err


def test_a_timeout_ends_it(ask: Ask, here: Path) -> None:
    run = ask("generate", "a cat", "--set", "fail=silent", "--timeout", "0.3")

    assert run.code == 3
    assert run.err == (
        "imagen: No image after 0.3 seconds, so the job was cancelled. "
        "Set a longer --timeout.\n"
    )
    assert left_behind(here) == []


def test_a_folder_that_cannot_be_made_does_not_cost_the_image(
    ask: Ask, here: Path, home: Path
) -> None:
    run = ask("generate", "a cat", *SMALL, "-o", "/proc/imagen/x.png")

    assert run.code == 6
    rescued = re.search(r"The image is safe at (.+\.png)\.", run.err)
    assert rescued
    assert Path(rescued[1]).is_relative_to(home)
    assert Path(rescued[1]).exists()


def test_a_closed_pipe_is_no_traceback_and_loses_nothing(
    start: Start, here: Path
) -> None:
    process = start("generate", "a cat", *SMALL)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    words = process.stderr.read()

    assert process.wait() == 0
    assert words == b""
    assert len(left_behind(here)) == 2


def test_verbose_says_what_happens_and_json_logs_can_be_read(ask: Ask) -> None:
    run = ask("generate", "a cat", *SMALL, env={"IMAGEN_LOG": "json"})

    events = [json.loads(line)["event"] for line in run.err.splitlines()]
    assert events[0] == "Planned"
    assert events[-2:] == ["Stored", "Finished"]
    assert len(run.lines) == 1

"""The commands `imagen inspect` and `imagen strip`, and `imagen.inspect`."""

import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from PIL import Image

import imagen as library
from imagen.domain.errors import InvalidRequest
from imagen.domain.inspection import Inspection
from imagen.testing.fakes import tiny_png
from tests.e2e.conftest import Ask, assert_one_sentence, left_behind

SMALL = ("--size", "32x32", "--seed", "7")
FOREIGN = "a lighthouse\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 8x8"


@pytest.fixture
def fox(ask: Ask) -> str:
    ask("generate", "a red fox", *SMALL, "-o", "fox.png")
    return "fox.png"


def rows(out: str) -> dict[str, str]:
    pairs = (line.strip().partition("  ") for line in out.splitlines()[1:])
    return {name: value.strip() for name, _, value in pairs}


def test_it_says_what_file_and_sidecar_say_and_that_they_agree(
    ask: Ask, fox: str, here: Path
) -> None:
    run = ask("inspect", fox)

    assert (run.code, run.err) == (0, "")
    assert run.lines[0] == fox
    said = rows(run.out)
    assert said["file"].startswith("PNG, 32x32")
    assert said["sha256"] == sha256((here / fox).read_bytes()).hexdigest()
    assert said["sidecar"].startswith("agrees")
    assert said["history"].startswith("agrees")
    assert said["C2PA"] == "no manifest"
    assert said["source type"] == "algorithmicMedia"
    assert (said["prompt"], said["seed"], said["cost"]) == ("a red fox", "7", "$0.00")


def test_avif_and_svg_are_inspected_and_are_no_references(ask: Ask, here: Path) -> None:
    Image.new("RGB", (64, 48)).save("x.avif")
    Path("x.svg").write_text('<svg width="64" height="48"><g/></svg>', encoding="utf-8")

    for name in ("x.avif", "x.svg"):
        kind = name[2:].upper()
        assert rows(ask("inspect", name).out)["file"].startswith(f"{kind}, 64x48")
        assert ask("show", name).lines == [name, "64x48"]
        refused = ask("generate", "a fox", "--image", name)
        assert refused.code == 2
        assert_one_sentence(refused.err, "backends take no such images")


def test_a_wrong_checksum_beside_the_pixels_is_a_warning(
    ask: Ask, fox: str, here: Path
) -> None:
    path = Path(fox)
    whole = path.read_bytes()
    at = whole.index(b"parameters") - 8
    path.write_bytes(whole[:at] + whole[at:].replace(b"Steps", b"steps", 1))

    run = ask("inspect", fox)

    assert run.code == 0
    assert "the checksum of its chunk" in run.out + run.err
    assert ask("strip", fox).code == 0


@pytest.mark.parametrize("name", ["last", "id", "beginning"])
def test_an_image_has_many_names(ask: Ask, fox: str, here: Path, name: str) -> None:
    image_id = json.loads((here / f"{fox}.json").read_bytes())["id"]
    word = {"id": image_id, "beginning": image_id[:13]}.get(name, name)

    assert ask("inspect", word).lines[0] == str(here / fox)


def test_json_has_every_field(ask: Ask, fox: str) -> None:
    run = ask("inspect", fox, fox, "--json")

    first, second = run.objects
    assert first == second
    assert first.keys() == set(Inspection.__struct_fields__)
    assert first["agreement"] == "same"
    assert first["sidecar"]["prompt"] == "a red fox"
    assert first["recipes"][0]["seed"] == 7


def test_a_file_that_was_changed_no_longer_agrees(
    ask: Ask, fox: str, here: Path
) -> None:
    with (here / fox).open("ab") as file:
        file.write(b"more")
    note = json.loads((here / f"{fox}.json").read_bytes())
    (here / f"{fox}.json").write_text(json.dumps({**note, "prompt": "a wolf"}))

    said = rows(ask("inspect", fox).out)

    assert said["sidecar"] == "DIFFERS: the file was changed afterwards"
    assert "differs from the metadata in the file: prompt" in ask("inspect", fox).out


def test_the_sidecar_of_another_image_is_noticed(
    ask: Ask, fox: str, here: Path
) -> None:
    ask("generate", "a cat", *SMALL, "-o", "cat.png")
    (here / "cat.png.json").replace(here / f"{fox}.json")

    said = rows(ask("inspect", fox).out)

    assert said["sidecar"] == "DIFFERS: describes another file"
    assert said["prompt"] == "a red fox"


def test_what_another_tool_says_is_read(ask: Ask, here: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_text("parameters", FOREIGN)
    Image.new("RGB", (8, 8)).save(here / "x.png", pnginfo=words)

    said = rows(ask("inspect", "x.png").out)

    assert (said["prompt"], said["seed"], said["steps"]) == ("a lighthouse", "5", "20")
    assert (said["sidecar"], said["history"]) == ("none", "no entry")


def test_nothing_in_a_file_moves_the_cursor(ask: Ask, here: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_text("parameters", FOREIGN.replace("light", "\x1b[2J\x07light"))
    Image.new("RGB", (8, 8)).save(here / "\x1b[2J.png", pnginfo=words)

    run = ask("inspect", "\x1b[2J.png")

    assert run.code == 0
    assert "\x1b" not in run.out
    assert "\x07" not in run.out


def test_of_several_the_others_are_still_inspected(ask: Ask, fox: str) -> None:
    run = ask("inspect", "nothing.png", fox)

    assert run.code == 2
    assert run.lines[0] == fox or fox in run.lines
    assert_one_sentence(run.err, "No such file: nothing.png")


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "IMAGE is missing"), (("last",), "No image was made on this machine yet")],
)
def test_what_is_not_there_is_said(ask: Ask, words: tuple[str, ...], said: str) -> None:
    run = ask("inspect", *words)

    assert run.code == 2
    assert_one_sentence(run.err, said)


def test_python_gets_the_same_with_its_types(ask: Ask, fox: str, here: Path) -> None:
    found = library.inspect(here / fox)

    assert isinstance(found, library.Inspection)
    assert found.sidecar is not None
    assert found.sidecar.prompt == "a red fox"
    assert msgspec.to_builtins(found)["path"] == str(here / fox)
    with pytest.raises(InvalidRequest):
        library.inspect("nothing.png")


# strip


def test_a_stripped_copy_has_the_same_pixels_and_no_words(
    ask: Ask, fox: str, here: Path
) -> None:
    run = ask("strip", fox)

    assert (run.code, run.out, run.err) == (0, "fox-stripped.png\n", "")
    copy = here / "fox-stripped.png"
    with Image.open(copy) as bare, Image.open(here / fox) as original:
        assert bare.tobytes() == original.tobytes()
    assert b"fox" not in copy.read_bytes()
    assert not (here / "fox-stripped.png.json").exists()


def test_a_copy_never_replaces_one_that_is_there(
    ask: Ask, fox: str, here: Path
) -> None:
    ask("strip", fox)

    assert ask("strip", "last").out == f"{here}/fox-stripped-2.png\n"


def test_a_copy_goes_where_it_is_told(ask: Ask, fox: str, here: Path) -> None:
    (here / "there.png").write_bytes(b"to be replaced")

    assert ask("strip", fox, "-o", "there.png").out == "there.png\n"
    assert ask("strip", fox, "-o", "folder/").out == "folder/fox-stripped.png\n"
    assert ask("strip", fox, "-o", "-").bytes == (here / "there.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fox.png", "-o", "fox.png"), "replace fox.png itself"),
        (("fox.png", "-o", "fox.jpg"), "image/png"),
        (("fox.png", "-o", "fox"), "no extension"),
        (("nothing.png",), "No such file: nothing.png"),
        (("fox.gif",), "image/gif"),
    ],
)
def test_what_cannot_be_stripped_so_leaves_everything_as_it_is(
    ask: Ask, fox: str, here: Path, words: tuple[str, ...], said: str
) -> None:
    Image.new("P", (8, 8)).save(here / "fox.gif")
    before = left_behind(here)

    run = ask("strip", *words)

    assert run.code == 2
    assert_one_sentence(run.err, said)
    assert left_behind(here) == before


def test_an_image_whose_file_is_gone_cannot_be_stripped(
    ask: Ask, fox: str, here: Path
) -> None:
    (here / fox).write_bytes(tiny_png())
    (here / f"{fox}.json").unlink()

    run = ask("strip", "last")

    assert run.code == 2
    assert_one_sentence(run.err, "is another image now")

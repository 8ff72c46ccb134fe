"""Metadata in image files, checked with exiftool and Pillow."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.unit.domain.notes import described, noted
from tests.unit.domain.pictures import FILES, frames

import imagen
from imagen.domain.metadata.infotext import write_infotext
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.sidecar import write_embedded_sidecar

AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
HARD = noted(
    prompt='a "fox", <狐> & лиса\nsecond line',
    prompt_sent='a "fox", <狐> & лиса\nsecond line',
)
WRITABLE = [
    name for name in FILES if name not in {"jpeg with words", "webp with a tail"}
]
"""Files that exiftool can write: not an invalid Photoshop block, not trailing data."""
WITH_BOTH = {"jpeg with both", "webp with both"}
WITH_XMP = {"jpeg with xmp", "webp with xmp", *WITH_BOTH}

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed"
)


def exiftool(*words: str | Path) -> str:
    return subprocess.run(
        ["exiftool", *words], check=True, capture_output=True, timeout=60
    ).stdout.decode()


def read(folder: Path, *words: str) -> dict[str, dict[str, Any]]:
    """Return all metadata that exiftool finds, by file name."""
    found = json.loads(exiftool("-j", "-G1", "-a", "-struct", *words, folder))
    return {Path(one["SourceFile"]).name: one for one in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one file of each kind, with imagen's metadata."""
    folder = tmp_path_factory.mktemp("files")
    for number, (name, content) in enumerate(FILES.items()):
        kind = name.split(" ", 1)[0]
        (folder / f"{number}.{kind}").write_bytes(described(content, HARD))
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, dict[str, Any]]:
    return read(folder)


def files_of(names: Iterable[str]) -> list[str]:
    numbers = {name: number for number, name in enumerate(FILES)}
    return [f"{numbers[name]}.{name.split(' ', 1)[0]}" for name in names]


@needs_exiftool
@pytest.mark.parametrize("file", files_of(FILES))
def test_exiftool_finds_the_words(said: dict[str, dict[str, Any]], file: str) -> None:
    found = said[file]

    if "PNG:Parameters" in found:
        assert found["PNG:Parameters"] == write_infotext(HARD)
        assert json.loads(found["PNG:Imagen"]) == json.loads(
            write_embedded_sidecar(HARD)
        )
    elif "IFD0:Make" in found:
        assert found["IFD0:Make"] == "Chalk"
    else:
        assert found["ExifIFD:UserComment"] == write_infotext(HARD)
        assert found["IFD0:Software"] == "imagen 1.0"


@needs_exiftool
@pytest.mark.parametrize(
    "file", files_of([name for name in FILES if name not in WITH_XMP])
)
def test_exiftool_finds_who_made_it(said: dict[str, dict[str, Any]], file: str) -> None:
    found = said[file]

    assert found["XMP-iptcExt:DigitalSourceType"] == AI_MADE
    assert found["XMP-iptcExt:AIPromptInformation"] == HARD.prompt_sent
    assert found["XMP-xmp:CreatorTool"] == "imagen 1.0"
    if not file.endswith("png"):
        assert json.loads(found["XMP-imagen:Note"]) == json.loads(
            write_embedded_sidecar(HARD)
        )


@needs_exiftool
def test_exiftool_finds_nothing_wrong_that_was_not_there(
    folder: Path, tmp_path: Path
) -> None:
    for file, content in zip(files_of(FILES), FILES.values(), strict=True):
        (tmp_path / file).write_bytes(content)

    before, after = (
        {file: "ExifTool:Warning" in found for file, found in read(each).items()}
        for each in (tmp_path, folder)
    )

    assert after == before


@needs_exiftool
def test_exiftool_finds_long_prompts(tmp_path: Path) -> None:
    notes = {}
    for letter in ("a", "狐"):
        note = noted(prompt=letter * 100_000, prompt_sent=letter * 100_000)
        for name in ("png 2/8", "jpeg", "webp lossy"):
            file = f"{ord(letter)}.{name.split(' ', 1)[0]}"
            (tmp_path / file).write_bytes(described(FILES[name], note))
            notes[file] = json.loads(write_embedded_sidecar(note))

    for file, found in read(tmp_path, "-b").items():
        inside = found.get("XMP-imagen:Note") or found["PNG:Imagen"]
        assert json.loads(inside) == notes.pop(file)
        assert found["XMP-iptcExt:DigitalSourceType"] == AI_MADE
        assert "ExifTool:Warning" not in found
    assert notes == {}


@needs_exiftool
def test_the_note_outlives_another_tool(folder: Path, tmp_path: Path) -> None:
    files = [folder / file for file in files_of(WRITABLE)]
    words = "-XMP-dc:Title=a & b", "-EXIF:Artist=me"
    exiftool("-q", "-o", f"{tmp_path}/", *words, *files)

    for name, file in zip(WRITABLE, files_of(WRITABLE), strict=True):
        content = (tmp_path / file).read_bytes()
        making = read_embedded_metadata(content)
        assert b"a &amp; b" in content
        assert making.recipe is not None or name in WITH_BOTH
        assert frames(content) == frames(FILES[name])
        if name not in WITH_XMP:
            assert making.recipe is not None
            assert making.recipe.sidecar is not None
            assert making.recipe.sidecar.prompt == HARD.prompt
            assert making.source_type == "trainedAlgorithmicMedia"


@needs_exiftool
def test_what_exiftool_writes_can_be_stripped(folder: Path, tmp_path: Path) -> None:
    words = ("XMP-dc:Title", "EXIF:Artist", "IPTC:Keywords", "Comment", "GPSLatitude")
    secrets = [f"-{tag}=6.543210" for tag in words]
    files = [folder / file for file in files_of(WRITABLE)]
    exiftool("-q", "-m", "-o", f"{tmp_path}/", *secrets, *files)

    for name, file in zip(WRITABLE, files_of(WRITABLE), strict=True):
        content = (tmp_path / file).read_bytes()
        assert b"6.543210" in content
        bare = strip_metadata(content)
        assert b"6.543210" not in bare
        assert frames(bare) == frames(FILES[name])
        (tmp_path / file).write_bytes(bare)

    for found in read(tmp_path).values():
        groups = {tag.partition(":")[0] for tag in found}
        assert groups.isdisjoint({"XMP-dc", "XMP-x", "ExifIFD", "GPS", "IPTC"})
        assert not {"IFD0:Artist", "PNG:Comment", "File:Comment"} & found.keys()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("IMAGEN_CONFIG", "IMAGEN_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_what_imagen_makes_says_how(home: Path, name: str) -> None:
    image = imagen.generate(
        "a cat", backend="mock", size="64x64", seed=42, output=home / name
    )

    making = read_embedded_metadata((home / name).read_bytes())

    assert making.recipe is not None
    assert making.recipe.sidecar is not None
    assert making.recipe.sidecar.id == image.sidecar.id
    assert (making.recipe.prompt, making.recipe.seed) == ("a cat", 42)
    assert making.source_type == "algorithmicMedia", "the mock is no trained model"
    assert b"AISystemUsed" not in (home / name).read_bytes()
    with Image.open(home / name) as opened:
        opened.load()


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_without_metadata_it_says_nothing(home: Path, name: str) -> None:
    imagen.generate("a cat", size="64x64", output=home / name, metadata=False)

    content = (home / name).read_bytes()

    assert read_embedded_metadata(content).texts == {}
    assert frames(strip_metadata(content)) == frames(content)

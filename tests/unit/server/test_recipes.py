"""The parameters of an image as a command, as JSON, and as arguments of curl."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.cli.app import main
from imagen.domain.sidecar import Reference, Sidecar
from imagen.domain.style import Style
from imagen.server.gallery.recipes import RequestRecipe, build_recipe

FLAT = Style(name="flat", prompt="flat vector", negative="haze")
PROMPT = "a 'red' fox\nrm -rf $HOME \x1b[201~ \N{RIGHT-TO-LEFT OVERRIDE}`x` \\ 狐"


def sidecar(**changes: Any) -> Sidecar:
    prompt = changes.setdefault("prompt", "a fox")
    given = {"prompt_sent": prompt, "requested_size": "64x48", "seed": 2**63, **changes}
    return msgspec.structs.replace(sample_entry(1).sidecar, **given)


def recipe_of(**changes: Any) -> RequestRecipe:
    found = build_recipe(sidecar(**changes), {"flat": FLAT})
    assert found is not None
    return found


def words_of(line: str) -> list[str]:
    """Return what bash understands, NUL between the words."""
    script = f"printf '%s\\0' {line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_the_command_generates_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("IMAGEN_CONFIG", "IMAGEN_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    Path("IMAGEN_CONFIG").write_text("backends: {m: {adapter: mock}}")
    first = ["imagen", "generate", PROMPT, "--size", "64x48", "--set", "delay=0.001"]
    first += ["--backend", "m", "--style", "photo", "--negative=-a 'b'"]

    assert main([*first[1:], "-o", "first.png"]) == 0
    made = msgspec.json.decode(Path("first.png.json").read_bytes(), type=Sidecar)
    found = build_recipe(made, {})
    assert found is not None
    assert "\n" not in found.command
    assert found.command.isprintable()
    assert main([*words_of(found.command)[1:], "-o", "second.png"]) == 0

    again = msgspec.json.decode(Path("second.png.json").read_bytes(), type=Sidecar)
    assert again.source_sha256 == made.source_sha256
    assert again.prompt_sent == made.prompt_sent
    assert again.negative == made.negative


def test_a_prompt_that_looks_like_an_option_is_piped() -> None:
    found = recipe_of(prompt="--seed", seed=None)

    assert found.command.startswith("printf %s --seed | imagen generate --backend ")
    assert found.command.endswith(" --size 64x48 -")


def test_a_style_is_named_while_it_is_the_same() -> None:
    styled = {"style": "flat", "prompt_sent": "a fox, flat vector"}
    same = recipe_of(**styled, negative="haze, text")
    changed = recipe_of(**{**styled, "prompt_sent": "a fox, flat"}, negative="haze")

    assert "--style flat --negative text" in same.command
    assert json.loads(same.json)["style"] == "flat"
    assert "--style" not in changed.command
    assert changed.command.endswith(
        "--negative haze --size 64x48 --seed 9223372036854775808 'a fox, flat'"
    )


def test_curl_sends_the_body(tmp_path: Path) -> None:
    found = recipe_of(
        prompt=PROMPT,
        backend="flux",
        model="dev",
        applied={"model": "dev", "guidance": 3.5, "go_fast": True},
    )

    [flag, body] = words_of(found.curl)
    assert (flag, body, found.route) == ("--json", found.json, "generations")
    assert found.curl.isprintable()
    assert json.loads(body) == {
        "prompt": PROMPT,
        "model": "flux/dev",
        "size": "64x48",
        "seed": 2**63,
        "guidance_scale": 3.5,
    }
    assert found.missing == ("go_fast",)


def test_reference_images_become_files_of_a_form() -> None:
    images = [Reference(name=name, sha256="0" * 64) for name in ('a;"b.png', "m.png")]
    found = recipe_of(
        prompt="@secret", references=tuple(images), applied={"mask": "m.png"}
    )

    words = words_of(found.curl)
    assert found.route == "edits"
    assert words[words.index("prompt=@secret") - 1] == "--form-string"
    assert words[-4:] == ["--form", r'image=@"a;\"b.png"', "--form", 'mask=@"m.png"']
    assert """--image 'a;"b.png' --mask m.png""" in found.command


def test_a_text_that_looks_like_a_number_stays_text() -> None:
    found = recipe_of(applied={"set.seed": "007", "on": "true", "list": [1, "x"]})

    words = shlex.split(found.command)
    given = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    assert given == ['seed="007"', 'on="true"', 'list=[1,"x"]']


def test_invalid_metadata_has_no_recipe() -> None:
    assert build_recipe(sidecar(requested_size="big"), {}) is None

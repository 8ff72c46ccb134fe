import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen.domain.errors import Misconfigured
from imagen.ports.adapter import Adapter
from imagen.settings.environment import Environment
from imagen.settings.load import find_config, load_settings
from imagen.settings.model import BUILT_IN_STYLES

Find = Callable[[str], Adapter[Any]]


@pytest.mark.parametrize(
    ("flag", "variables", "path", "named"),
    [
        (None, {}, "/home/ada/.config/imagen.yaml", False),
        (None, {"XDG_CONFIG_HOME": "/xdg"}, "/xdg/imagen.yaml", False),
        (None, {"XDG_CONFIG_HOME": "xdg"}, "/home/ada/.config/imagen.yaml", False),
        (None, {"IMAGEN_CONFIG": ""}, "/home/ada/.config/imagen.yaml", False),
        (None, {"IMAGEN_CONFIG": "~/a.yaml"}, "/home/ada/a.yaml", True),
        ("b.yaml", {"IMAGEN_CONFIG": "/a.yaml"}, "b.yaml", True),
    ],
)
def test_flag_before_variable_before_the_usual_place(
    flag: str | None, variables: dict[str, str], path: str, named: bool
) -> None:
    environment = Environment({"HOME": "/home/ada", **variables})

    assert find_config(flag, environment) == (Path(path), named)


def test_without_a_file_there_are_mock_and_the_built_in_styles(
    tmp_path: Path, adapter_of: Find
) -> None:
    environment = Environment({"HOME": str(tmp_path)})

    settings = load_settings(None, environment=environment, adapter_of=adapter_of)

    assert settings.default_backend == "mock"
    assert list(settings.backends) == ["mock"]
    assert tuple(settings.styles.values()) == BUILT_IN_STYLES
    assert settings.path is None


def test_a_file_is_read(tmp_path: Path, adapter_of: Find) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("styles: {s: }")

    settings = load_settings(
        str(path), environment=Environment({}), adapter_of=adapter_of
    )

    assert next(iter(settings.styles)) == "s"
    assert settings.path == path


def test_a_pipe_is_read(adapter_of: Find) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"styles: {s: }")
    os.close(writer)

    settings = load_settings(
        f"/dev/fd/{reader}", environment=Environment({}), adapter_of=adapter_of
    )

    os.close(reader)
    assert next(iter(settings.styles)) == "s"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.yaml", "does not exist"),
        ("file/x.yaml", "does not exist"),
        ("folder", "is a folder"),
        ("loop", "cannot be read"),
        ("a\0b", "is not a valid path"),
    ],
)
def test_a_named_file_that_cannot_be_read_is_a_clear_sentence(
    tmp_path: Path, adapter_of: Find, name: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(Misconfigured, match=said):
        load_settings(
            f"{tmp_path}/{name}", environment=Environment({}), adapter_of=adapter_of
        )


def test_an_empty_path_is_refused(adapter_of: Find) -> None:
    with pytest.raises(Misconfigured, match="empty"):
        load_settings("", environment=Environment({}), adapter_of=adapter_of)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'yaml', 'platformdirs', 'httpx', 'rich', 'PIL'}"
    program = (
        "import sys, imagen.settings.load, imagen.settings.sample;"
        f"print(*({heavy} & set(sys.modules)))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == ""

"""Writing the config file."""

from pathlib import Path

import pytest

from imagen.adapters.system.config_file import create_config, replace_config
from imagen.domain.errors import Misconfigured


def test_a_new_file_gets_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "imagen.yaml"

    create_config(path, "für: Bär\n")

    assert path.read_text("utf-8") == "für: Bär\n"


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"

    with pytest.raises(UnicodeEncodeError):
        create_config(path, "\ud800")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_changed_in_the_meantime_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text("mine")

    with pytest.raises(Misconfigured, match="was changed in the meantime"):
        replace_config(path, "new", previous=b"another")

    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["imagen.yaml"]


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(Misconfigured, match="is not a regular file"):
        replace_config(Path("/dev/null"), "new", previous=b"")

    assert Path("/dev/null").is_char_device()

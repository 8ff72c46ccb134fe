"""A file that the user names is read completely, or an error says why not."""

import os
from pathlib import Path

import pytest

from imagen.adapters.system.files import read_file, read_regular
from imagen.domain.errors import InvalidRequest


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")

    assert read_file(str(tmp_path / "a")) == b"bytes"


@pytest.mark.parametrize("name", ["nothing", "folder", "file/x", "nul\0byte", ""])
def test_what_is_no_file_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    assert read_file(f"{tmp_path}/{name}") is None


def test_a_name_that_no_file_can_have_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: File name too long"):
        read_file(str(tmp_path / ("x" * 300)))


def test_what_has_no_end_is_not_read_to_it() -> None:
    with pytest.raises(InvalidRequest, match="larger than 1000 bytes"):
        read_file("/dev/zero", largest=1000)


def test_a_name_that_is_no_utf_8_is_one_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.png")
    path.write_bytes(b"bytes")

    assert read_file(str(path)) == b"bytes"


def test_a_file_that_is_too_large_is_not_read_first(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**40)

    for read in (read_file, read_regular):
        with pytest.raises(InvalidRequest, match=r"sparse is larger than \d+ bytes"):
            read(str(path))


def test_a_pipe_that_somebody_names_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"bytes")
    os.close(writer)

    assert read_file(f"/dev/fd/{reader}") == b"bytes"
    os.close(reader)


@pytest.mark.parametrize("name", ["pipe", "folder", "nothing", "zeros"])
def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")

    assert read_regular(f"{tmp_path}/{name}") is None


@pytest.mark.parametrize(("size", "content"), [(5, b"bytes"), (4, None), (6, None)])
def test_a_file_of_another_size_is_not_read(
    tmp_path: Path, size: int, content: bytes | None
) -> None:
    (tmp_path / "a").write_bytes(b"bytes")

    assert read_regular(f"{tmp_path}/a", size=size) == content

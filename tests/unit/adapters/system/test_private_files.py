import os
from pathlib import Path

import pytest

from imagen.adapters.system.private_files import write_private_file
from imagen.adapters.system.server_secret import load_secret


def test_only_the_owner_reads_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        write_private_file(tmp_path / "a", b"content", durable=True)
    finally:
        os.umask(before)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_file_is_replaced_unless_that_is_forbidden(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_private_file(tmp_path / "a", content)
    with pytest.raises(FileExistsError):
        write_private_file(tmp_path / "a", b"third", replace=False)

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"second"]


def test_a_failure_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_private_file(tmp_path / "a", b"content")

    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_the_first_secret_stays(tmp_path: Path) -> None:
    first = load_secret(lambda: tmp_path)

    assert load_secret(lambda: tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    (tmp_path / "secret").write_bytes(b"cut off")
    assert len(load_secret(lambda: tmp_path)) == 32

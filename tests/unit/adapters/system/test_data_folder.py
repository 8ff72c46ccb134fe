from pathlib import Path

import pytest

from imagen.adapters.system.data_folder import can_hold_data, find_temporary_folder


def test_a_folder_that_can_be_created_is_used(tmp_path: Path) -> None:
    assert can_hold_data(tmp_path / "share" / "imagen")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_is_for_its_user_only(tmp_path: Path) -> None:
    folder = find_temporary_folder(str(tmp_path))

    assert folder is not None
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert find_temporary_folder(str(tmp_path)) == folder


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_a_folder_that_others_can_use_is_not_used(tmp_path: Path, trap: str) -> None:
    folder = find_temporary_folder(str(tmp_path))
    assert folder is not None
    folder.rmdir()
    if trap == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif trap == "link":
        target = tmp_path / "other"
        target.mkdir(0o700)
        folder.symlink_to(target)
    else:
        folder.touch()

    assert find_temporary_folder(str(tmp_path)) != folder

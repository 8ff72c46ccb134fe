import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp

import pytest
from tests.nightly import examples

from imagen.adapters.storage.local import LocalStorage
from imagen.domain.errors import NameTaken, StorageError

NOBODY = 65534
IMAGE, NOTE = b"an image" * 5000, b'{"schema": 1}\n'
AS_ROOT = os.geteuid() == 0
Process = subprocess.Popen[bytes]
Start = Callable[..., Process]


def save(
    folder: Path,
    name: str = "a.png",
    *,
    content: bytes = IMAGE,
    sidecar: bytes | None = NOTE,
    again: bool = False,
) -> str:
    return LocalStorage(folder).save(
        name,
        content,
        media_type="image/png",
        sidecar=sidecar,
        again=again,
    )


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody whom permissions stop."""
    if AS_ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if AS_ROOT:
            os.seteuid(0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond the size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["nameless drafts", "named drafts"], autouse=True)
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files are written before they have their names."""
    if request.param == "named drafts":
        # Old kernels take no notice of the flag, and then a folder cannot be written.
        monkeypatch.setattr(os, "O_TMPFILE", 0, raising=False)
    return str(request.param)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's own."""
    folder = Path(mkdtemp())
    folder.chmod(0o755)
    yield folder
    rmtree(folder)


def test_says_where_the_image_is(tmp_path: Path) -> None:
    assert save(tmp_path, "2026/a.png") == str(tmp_path / "2026/a.png")


def test_makes_folders_as_they_are_needed(tmp_path: Path) -> None:
    save(tmp_path / "new", "2026/05/a.png")

    assert (tmp_path / "new/2026/05/a.png").read_bytes() == IMAGE


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save(tmp_path)
    finally:
        os.umask(before)

    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~mask}


def test_leaves_nothing_but_the_two_files(tmp_path: Path) -> None:
    save(tmp_path)

    assert names(tmp_path) == {"a.png", "a.png.json"}
    assert (tmp_path / "a.png").stat().st_nlink == 1


@pytest.mark.parametrize("taken", ["a.png", "a.png.json"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_a_name_is_taken_by_anything(tmp_path: Path, taken: str, kind: str) -> None:
    place = tmp_path / taken
    if kind == "file":
        place.touch()
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(tmp_path / "nowhere")

    with pytest.raises(NameTaken):
        save(tmp_path)

    assert names(tmp_path) == {taken}
    assert place.is_symlink() == (kind == "dangling link")


def test_a_name_is_taken_even_without_a_sidecar(tmp_path: Path) -> None:
    (tmp_path / "a.png.json").touch()

    with pytest.raises(NameTaken):
        save(tmp_path, sidecar=None)

    assert names(tmp_path) == {"a.png.json"}


def test_writes_into_a_folder_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    save(tmp_path / "link")

    assert names(tmp_path / "real") == {"a.png", "a.png.json"}


@pytest.mark.parametrize("name", ["a-file/a.png", "a-file/b/a.png", "a-link/a.png"])
def test_says_that_a_file_is_where_a_folder_should_be(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "a-link").symlink_to("nowhere")

    with pytest.raises(StorageError, match="could not be written") as failed:
        save(tmp_path, name)

    assert not isinstance(failed.value, NameTaken)
    assert names(tmp_path) == {"a-file", "a-link"}


@pytest.mark.parametrize("letter", ["x", "é", "🐈"])
def test_takes_names_of_255_bytes(tmp_path: Path, letter: str) -> None:
    stem = letter * (246 // len(letter.encode()))
    name = f"{stem}{'x' * (246 - len(stem.encode()))}.png"

    save(tmp_path, name)

    assert max(len(os.fsencode(name)) for name in names(tmp_path)) == 255


def test_says_that_a_name_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be written"):
        save(tmp_path, "x" * 247 + ".png")

    assert names(tmp_path) <= {"x" * 247 + ".png"}


def test_an_image_alone_may_have_all_255_bytes(tmp_path: Path) -> None:
    name = "x" * 251 + ".png"

    save(tmp_path, name, sidecar=None)

    assert names(tmp_path) == {name}


def test_a_folder_that_cannot_be_written_to(open_folder: Path) -> None:
    open_folder.chmod(0o555)

    with as_nobody(), pytest.raises(StorageError, match="Permission denied") as failed:
        save(open_folder)

    assert not isinstance(failed.value, NameTaken)
    assert names(open_folder) == set()


def test_a_folder_that_cannot_be_made(open_folder: Path) -> None:
    open_folder.chmod(0o555)

    with as_nobody(), pytest.raises(StorageError, match="Permission denied"):
        save(open_folder / "new")

    assert names(open_folder) == set()


def test_a_file_that_cannot_be_read(open_folder: Path) -> None:
    save(open_folder)
    (open_folder / "a.png").chmod(0)

    with as_nobody(), pytest.raises(StorageError, match="could not be read"):
        LocalStorage(open_folder).read("a.png")


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    assert LocalStorage(tmp_path / "new").read("a.png") is None


@pytest.mark.parametrize(
    ("content", "sidecar"),
    [(IMAGE, b""), (b"", IMAGE)],
    ids=["the image is too large", "the sidecar is too large"],
)
def test_what_does_not_fit_leaves_nothing(
    tmp_path: Path, content: bytes, sidecar: bytes
) -> None:
    with largest_file(4096), pytest.raises(StorageError, match="could not be written"):
        save(tmp_path, content=content, sidecar=sidecar)

    assert names(tmp_path) == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if not AS_ROOT or not sys.platform.startswith("linux"):
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_has_nothing_half_written(small_disk: Path) -> None:
    save(small_disk, "first.png")

    with pytest.raises(StorageError, match="No space left"):
        save(small_disk, "second.png")

    assert names(small_disk) == {"first.png", "first.png.json"}
    assert (small_disk / "first.png").read_bytes() == IMAGE


def writes_nameless_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_WRONLY | getattr(os, "O_TMPFILE", 0)))
    except OSError:
        return False
    return True


def python(program: str, *words: object) -> list[str]:
    """Say how to run a program that writes its drafts as this process does."""
    set_up = (
        "import os, sys; from pathlib import Path;"
        "from imagen.adapters.storage.local import LocalStorage;"
        f"os.O_TMPFILE = {getattr(os, 'O_TMPFILE', 0)};"
    )
    return [sys.executable, "-c", set_up + program, *map(str, words)]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a program beside the test, and no longer than that, even if it fails."""
    with ExitStack() as started:

        def start_one(
            program: str, *words: object, stdin: int | None = None
        ) -> Process:
            command = python(program, *words)
            process = started.enter_context(
                subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE)
            )
            started.callback(process.kill)
            return process

        yield start_one


def race(
    start: Start, processes: int, program: str, folder: Path
) -> list[tuple[int, bytes]]:
    """Let them all go at the same moment; return how each ended, and what it said."""
    gate, opening = os.pipe()
    racers = [start(program, folder, who, stdin=gate) for who in range(processes)]
    os.close(gate)
    os.close(opening)
    said = [racer.communicate()[0] for racer in racers]
    return [
        (racer.returncode, words) for racer, words in zip(racers, said, strict=True)
    ]


def test_many_processes_want_one_name(start: Start, tmp_path: Path) -> None:
    program = """
from imagen.domain.errors import NameTaken
from imagen.domain.naming import candidate_names
me = f"<{sys.argv[2]}>".encode()
storage = LocalStorage(Path(sys.argv[1]))
sys.stdin.read()
for name in candidate_names("new/a.png"):
    try:
        storage.save(name, me * 9999, media_type="image/png", sidecar=me)
        break
    except NameTaken:
        pass
"""
    many = examples(6, nightly=50)
    ends = race(start, many, program, tmp_path)

    assert ends == [(0, b"")] * many
    folder = tmp_path / "new"
    images = ["a.png", *(f"a-{number}.png" for number in range(2, many + 1))]
    assert names(folder) == {*images, *(f"{name}.json" for name in images)}
    for name in images:
        who = (folder / f"{name}.json").read_bytes()
        assert (folder / name).read_bytes() == who * 9999


def test_processes_that_save_the_same_again_get_one_place(
    start: Start, tmp_path: Path
) -> None:
    program = """
storage = LocalStorage(Path(sys.argv[1]))
sys.stdin.read()
how = {"media_type": "image/png", "sidecar": b"{}", "again": True}
print(storage.save("new/a.png", b"the same" * 9999, **how), end="")
"""
    many = examples(4, nightly=20)
    ends = race(start, many, program, tmp_path)

    assert ends == [(0, os.fsencode(tmp_path / "new/a.png"))] * many
    assert names(tmp_path / "new") == {"a.png", "a.png.json"}
    assert (tmp_path / "new/a.png").read_bytes() == b"the same" * 9999


def test_what_is_killed_leaves_whole_images_that_can_be_saved_again(
    start: Start, tmp_path: Path
) -> None:
    program = """
from itertools import count
storage = LocalStorage(Path(sys.argv[1]))
print("go", flush=True)
for number in count():
    how = {"media_type": "image/png", "sidecar": b"{}"}
    storage.save(f"{number}.png", b"%d" % number * 99_999, **how)
"""
    drafts = set()
    for moment in range(0, 12, examples(4, nightly=1)):
        folder = tmp_path / str(moment)
        process = start(program, folder)
        assert process.stdout
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment * 0.003)
        process.kill()
        process.communicate()

        left = names(folder) if folder.exists() else set()
        images = {name for name in left if name.endswith(".png")}
        notes = {name for name in left if name.endswith(".json")}
        drafts |= left - images - notes
        assert {f"{name}.json" for name in images} <= notes
        for note in notes:
            number = note.partition(".")[0].encode()
            save(folder, note[:-5], content=number * 99_999, sidecar=b"{}", again=True)
        assert names(folder) - drafts == {*notes, *(note[:-5] for note in notes)}

    assert not drafts or not writes_nameless_files(tmp_path)


def test_writes_where_there_is_no_proc(tmp_path: Path) -> None:
    program = "print(LocalStorage(Path(sys.argv[1])).save('a', b'b', media_type='c'))"
    apart = ["unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
    if not AS_ROOT or which("unshare") is None:
        pytest.skip("only root can be without /proc")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("/proc cannot be left out here")

    subprocess.run(
        [*apart, *python(program, tmp_path)], capture_output=True, check=True
    )

    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("taken", ["a.png", "a.png.json"])
def test_a_folder_is_nothing_that_was_saved(tmp_path: Path, taken: str) -> None:
    if taken == "a.png.json":
        (tmp_path / "a.png").write_bytes(IMAGE)
    (tmp_path / taken).mkdir()
    before = names(tmp_path)

    with pytest.raises(NameTaken):
        save(tmp_path, again=True)

    assert names(tmp_path) == before


def test_a_pipe_is_nothing_that_was_saved(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")

    with pytest.raises(NameTaken):
        save(tmp_path, again=True)

    assert names(tmp_path) == {"a.png"}


def test_what_cannot_be_read_is_nothing_that_was_saved(open_folder: Path) -> None:
    save(open_folder)
    open_folder.chmod(0o777)
    (open_folder / "a.png").chmod(0)

    with as_nobody(), pytest.raises(NameTaken):
        save(open_folder, again=True)


def test_what_was_moved_away_and_linked_is_still_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(IMAGE)
    (tmp_path / "a.png").symlink_to("elsewhere")

    assert save(tmp_path, again=True) == str(tmp_path / "a.png")

    assert (tmp_path / "a.png").is_symlink()
    assert (tmp_path / "a.png.json").read_bytes() == NOTE


@pytest.mark.parametrize("sidecar", [NOTE, None])
def test_what_is_there_already_is_not_written_again(
    tmp_path: Path, sidecar: bytes | None
) -> None:
    save(tmp_path, sidecar=sidecar)
    before = {path: path.stat().st_ino for path in tmp_path.iterdir()}

    save(tmp_path, sidecar=sidecar, again=True)

    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_a_folder_may_be_found_out_late_and_once(tmp_path: Path) -> None:
    asked: list[Path] = []

    def find() -> Path:
        asked.append(tmp_path / f"found-{len(asked)}")
        return asked[-1]

    storage = LocalStorage(find)
    assert asked == []

    with ThreadPoolExecutor() as crowd:
        for number in range(8):
            crowd.submit(storage.save, f"{number}", b"", media_type="image/png")

    assert asked == [tmp_path / "found-0"]
    assert storage.read("7") == b""


def test_a_folder_that_is_not_found_is_asked_for_again(tmp_path: Path) -> None:
    answers: list[Path | OSError] = [OSError(errno.ENOSPC, "No space left"), tmp_path]

    def find() -> Path:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    storage = LocalStorage(find)
    with pytest.raises(
        StorageError, match=r"Found no folder for a\.png: No space left\."
    ):
        storage.save("a.png", IMAGE, media_type="image/png")

    storage.save("a.png", IMAGE, media_type="image/png")

    assert names(tmp_path) == {"a.png"}

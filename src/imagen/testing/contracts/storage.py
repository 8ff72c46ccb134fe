"""The contract of `Storage`."""

from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TypedDict, Unpack

import pytest

from imagen.domain.errors import NameTaken, StorageError
from imagen.ports.storage import Storage
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, abbreviate, run_at_once

IMAGE = bytes(range(256)) * 1024 + b"\r\n\x1a\n\0"
"""Every byte value, more than one buffer, and an end that a text mode would change."""
SIDECAR = b'{"schema": 1, "prompt": "\xd1\x8f"}\n'
NAME = "2026-05-08/a-cat-42.png"
SIDECAR_NAME = f"{NAME}.json"


class _How(TypedDict, total=False):
    sidecar: bytes | None
    again: bool


class StorageContract(Contract):
    """The tests that every `Storage` must pass.

    Override `storage`, and `kept`, `another` and `broken_storage` as far as possible.
    """

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage."""
        raise NotImplementedError("Override the fixture `storage`.")

    @pytest.fixture
    def kept(self) -> Callable[[], Mapping[str, bytes]]:
        """A function that returns all files of `storage` by name, read directly."""
        pytest.skip("the fixture `kept` is not provided")

    @pytest.fixture
    def another(self) -> Storage:
        """A second instance on the same files, as in another process."""
        pytest.skip("the fixture `another` is not provided")

    @pytest.fixture
    def broken_storage(self) -> Storage:
        """A storage that cannot store files."""
        pytest.skip("the fixture `broken_storage` is not provided")

    def test_returns_what_is_kept(self, storage: Storage) -> None:
        """Image and sidecar are returned unchanged, to the byte."""
        _save(storage, IMAGE, sidecar=SIDECAR)

        _check_files(storage, IMAGE, SIDECAR)

    def test_returns_none_where_nothing_is(self, storage: Storage) -> None:
        """Reading an unknown name returns None."""
        assert storage.read("nothing/here.png") is None

    def test_keeps_both_and_nothing_else(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """The image is stored under its name, the sidecar under the name + `.json`."""
        _save(storage, IMAGE, sidecar=SIDECAR)

        assert _digests(kept()) == _digests({NAME: IMAGE, SIDECAR_NAME: SIDECAR})

    def test_keeps_an_image_alone(self, storage: Storage) -> None:
        """Without a sidecar, no file is stored under the sidecar's name."""
        _save(storage, IMAGE)

        _check_files(storage, IMAGE, None)

    def test_says_where_it_is(self, storage: Storage) -> None:
        """`save` returns a location that is different for each name."""
        locations = {_save(storage, IMAGE, name=name) for name in ("a.png", "b/a.png")}

        assert "" not in locations
        assert len(locations) == 2

    def test_leaves_what_has_the_name(self, storage: Storage) -> None:
        """A name that is in use raises NameTaken, and the files stay unchanged."""
        _save(storage, b"older", sidecar=SIDECAR)

        with pytest.raises(NameTaken):
            _save(storage, b"newer", sidecar=b"{}")

        _check_files(storage, b"older", SIDECAR)

    def test_takes_no_name_twice_for_the_same_image(self, storage: Storage) -> None:
        """A name is in use even for the same content."""
        # Two equal images are two results, each with its own sidecar.
        _save(storage, IMAGE)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE)

    @pytest.mark.parametrize("sidecar", [SIDECAR, None], ids=["sidecar", "alone"])
    def test_leaves_what_has_the_name_of_the_sidecar(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """If the sidecar's name is in use, the image is not stored, either."""
        # The file may be a note of the user's that only looks like a sidecar.
        _save(storage, b"older", name=SIDECAR_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=sidecar)

        _check_files(storage, None, b"older")

    def test_leaves_nothing_behind_when_a_name_is_taken(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """A save that fails leaves no file behind."""
        _save(storage, b"older", name=SIDECAR_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=SIDECAR)

        assert _digests(kept()) == _digests({SIDECAR_NAME: b"older"})

    def test_finds_again_what_is_kept_already(self, storage: Storage) -> None:
        """`again` with the same content returns the same location."""
        # `imagen resume` saves with `again` what a killed process may have saved
        # already.
        location = _save(storage, IMAGE, sidecar=SIDECAR)

        assert _save(storage, IMAGE, sidecar=SIDECAR, again=True) == location
        _check_files(storage, IMAGE, SIDECAR)

    @pytest.mark.parametrize(
        ("older", "sidecar"),
        [(None, SIDECAR), (b"{}", SIDECAR), (SIDECAR, None)],
        ids=["missing", "another", "one too many"],
    )
    def test_puts_the_sidecar_right(
        self, storage: Storage, older: bytes | None, sidecar: bytes | None
    ) -> None:
        """`again` with the same image corrects the sidecar."""
        location = _save(storage, IMAGE, sidecar=older)

        assert _save(storage, IMAGE, sidecar=sidecar, again=True) == location
        _check_files(storage, IMAGE, sidecar)

    def test_adds_the_image_to_its_sidecar(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """`again` adds the image to the same sidecar that is stored alone."""
        _save(storage, SIDECAR, name=SIDECAR_NAME)

        _save(storage, IMAGE, sidecar=SIDECAR, again=True)

        assert _digests(kept()) == _digests({NAME: IMAGE, SIDECAR_NAME: SIDECAR})

    @pytest.mark.parametrize("sidecar", [SIDECAR, None], ids=["sidecar", "alone"])
    def test_saves_again_what_never_was(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """`again` with an unknown name stores the image."""
        _save(storage, IMAGE, sidecar=sidecar, again=True)

        _check_files(storage, IMAGE, sidecar)

    @pytest.mark.parametrize("older", [SIDECAR, None], ids=["sidecar", "alone"])
    def test_leaves_another_image_when_it_saves_again(
        self, storage: Storage, older: bytes | None
    ) -> None:
        """`again` with other content raises NameTaken and changes nothing."""
        other = IMAGE[:-1] + b"\1"
        _save(storage, other, sidecar=older)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=SIDECAR, again=True)

        _check_files(storage, other, older)

    @pytest.mark.parametrize("sidecar", [SIDECAR, None], ids=["sidecar", "alone"])
    def test_leaves_another_sidecar_when_it_saves_again(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """`again` with another lone sidecar raises NameTaken and changes nothing."""
        _save(storage, b"{}", name=SIDECAR_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=sidecar, again=True)

        _check_files(storage, None, b"{}")

    def test_gives_one_place_to_all_that_save_the_same_again(
        self, storage: Storage
    ) -> None:
        """Threads that save the same image `again` at once get one location."""
        _check_one_location(storage, [storage] * CROWD)

    def test_gives_one_place_to_all_processes_that_save_the_same_again(
        self, storage: Storage, another: Storage
    ) -> None:
        """Instances that save the same image `again` at once get one location."""
        _check_one_location(storage, [storage, another] * (CROWD // 2))

    def test_is_never_seen_half_written(self, storage: Storage) -> None:
        """A reader sees no image or a whole one while it is saved."""
        # The server and image viewers may open the file at any moment.
        names = [f"{number}.png" for number in range(10)]
        whole, saving = b"a" * 400_000, [names[0]]
        is_reading, done = Event(), Event()
        others: list[str] = []

        def read() -> None:
            while not done.is_set() and not others:
                try:
                    content = storage.read(saving[-1])
                except Exception as error:  # noqa: BLE001 - no reader fails meanwhile
                    others.append(repr(error))
                else:
                    if content not in (None, whole):
                        others.append(abbreviate(content))
                is_reading.set()

        thread = Thread(target=read, daemon=True)
        thread.start()
        is_reading.wait(10)
        try:
            for name in names:
                saving.append(name)
                _save(storage, whole, name=name)
        finally:
            done.set()
            thread.join()

        assert others == []

    def test_gives_a_name_to_one_of_many(self, storage: Storage) -> None:
        """Of threads that save under one name at once, one succeeds with both files."""
        outcomes = _save_at_once([storage] * CROWD, lambda _: NAME)

        _check_one_winner(storage, outcomes)

    def test_gives_a_name_to_one_of_many_processes(
        self, storage: Storage, another: Storage
    ) -> None:
        """Of instances that save under one name at once, one succeeds."""
        outcomes = _save_at_once([storage, another] * (CROWD // 2), lambda _: NAME)

        _check_one_winner(storage, outcomes)

    def test_keeps_many_at_once(self, storage: Storage) -> None:
        """Threads save at once, also into a folder that does not exist yet."""
        outcomes = _save_at_once([storage] * CROWD, _numbered_name)

        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert [_read(storage, _numbered_name(number)) for number in range(CROWD)] == [
            abbreviate(_image(number)) for number in range(CROWD)
        ]

    def test_is_seen_by_another(self, storage: Storage, another: Storage) -> None:
        """A file that one instance stores is visible to another."""
        _save(storage, IMAGE, sidecar=SIDECAR)

        assert _read(another) == abbreviate(IMAGE)
        with pytest.raises(NameTaken):
            _save(another, b"newer")

    def test_says_that_it_could_not_be_kept(self, broken_storage: Storage) -> None:
        """A file that cannot be stored is a StorageError other than NameTaken."""
        with pytest.raises(StorageError) as failed:
            _save(broken_storage, IMAGE, sidecar=SIDECAR)

        assert not isinstance(failed.value, NameTaken)


def _save(
    storage: Storage, content: bytes, *, name: str = NAME, **how: Unpack[_How]
) -> str:
    return storage.save(name, content, media_type="image/png", **how)


def _save_at_once(
    storages: list[Storage], name_of: Callable[[int], str]
) -> list[str | Exception | None]:
    return run_at_once(
        lambda number: _save(
            storages[number],
            _image(number),
            name=name_of(number),
            sidecar=b"%d" % number,
        ),
        crowd=len(storages),
    )


def _check_files(storage: Storage, image: bytes | None, sidecar: bytes | None) -> None:
    assert _read(storage) == abbreviate(image)
    assert _read(storage, SIDECAR_NAME) == abbreviate(sidecar)


def _check_one_winner(storage: Storage, outcomes: list[str | Exception | None]) -> None:
    winners = [n for n, one in enumerate(outcomes) if not isinstance(one, Exception)]
    others = [one for one in outcomes if isinstance(one, Exception)]

    assert len(winners) == 1, outcomes
    assert [error for error in others if not isinstance(error, NameTaken)] == []
    _check_files(storage, _image(winners[0]), b"%d" % winners[0])


def _check_one_location(storage: Storage, storages: list[Storage]) -> None:
    outcomes = run_at_once(
        lambda number: _save(storages[number], IMAGE, sidecar=SIDECAR, again=True),
        crowd=len(storages),
    )

    location = _save(storage, IMAGE, sidecar=SIDECAR, again=True)
    assert outcomes == [location] * len(storages)
    _check_files(storage, IMAGE, SIDECAR)


def _image(number: int) -> bytes:
    return b"%d" % number * 50_000


def _numbered_name(number: int) -> str:
    return f"new/folder/{number}.png"


def _read(storage: Storage, name: str = NAME) -> str:
    return abbreviate(storage.read(name))


def _digests(kept: Mapping[str, bytes]) -> dict[str, str]:
    return {name: abbreviate(content) for name, content in kept.items()}

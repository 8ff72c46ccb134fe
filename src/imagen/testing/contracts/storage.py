"""The promises that every `Storage` keeps."""

from collections.abc import Callable, Mapping
from threading import Barrier, Event, Thread

import pytest

from imagen.domain.errors import NameTaken, StorageError
from imagen.ports.storage import Storage
from imagen.testing.contracts.base import Contract

IMAGE = bytes(range(256)) * 1024 + b"\r\n\x1a\n\0"
"""Every byte there is, more than fits one buffer, and an end that text would lose."""
NOTE = b'{"schema": 1, "prompt": "\xd1\x8f"}\n'
NAME = "2026-05-08/a-cat-42.png"
CROWD = 8
"""Threads that use one storage at once."""


class StorageContract(Contract):
    """Override `storage`; and `kept` and `another` if there is such a thing."""

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage."""
        raise NotImplementedError("Override the fixture `storage` to return yours.")

    @pytest.fixture
    def kept(self) -> Callable[[], Mapping[str, bytes]]:
        """A way to see all that lies in `storage`, by name, behind its back."""
        pytest.skip("no look at what is `kept`")

    @pytest.fixture
    def another(self) -> Storage:
        """A second instance over the same place, as another process would have."""
        pytest.skip("there is no `another` over the same place")

    @pytest.fixture
    def broken_storage(self) -> Storage:
        """A storage in which nothing can be kept."""
        pytest.skip("no `broken_storage` is staged")

    def test_returns_what_is_kept(self, storage: Storage) -> None:
        """What is kept is returned to the byte, image and sidecar."""
        _save(storage, IMAGE, sidecar=NOTE)

        assert storage.read(NAME) == IMAGE
        assert storage.read(f"{NAME}.json") == NOTE

    def test_returns_none_where_nothing_is(self, storage: Storage) -> None:
        """Where nothing is kept, None is returned."""
        assert storage.read("nothing/here.png") is None

    def test_keeps_both_and_nothing_else(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """The image lies under its name, the sidecar under the same plus `.json`."""
        _save(storage, IMAGE, sidecar=NOTE)

        assert dict(kept()) == {NAME: IMAGE, f"{NAME}.json": NOTE}

    def test_keeps_an_image_alone(self, storage: Storage) -> None:
        """Without a sidecar nothing lies under the sidecar's name."""
        _save(storage, IMAGE)

        assert storage.read(NAME) == IMAGE
        assert storage.read(f"{NAME}.json") is None

    def test_says_where_it_is(self, storage: Storage) -> None:
        """It returns where the image is: another place for another name."""
        places = {_save(storage, IMAGE, name=name) for name in ("a.png", "b/a.png")}

        assert "" not in places
        assert len(places) == 2

    def test_leaves_what_has_the_name(self, storage: Storage) -> None:
        """Where something is kept, NameTaken is raised and it is left as it was."""
        _save(storage, b"older", sidecar=NOTE)

        with pytest.raises(NameTaken):
            _save(storage, b"newer", sidecar=b"{}")

        assert storage.read(NAME) == b"older"
        assert storage.read(f"{NAME}.json") == NOTE

    def test_takes_no_name_twice_for_the_same_image(self, storage: Storage) -> None:
        """A name is taken even by the same bytes."""
        _save(storage, IMAGE)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE)

    @pytest.mark.parametrize("sidecar", [NOTE, None], ids=["sidecar", "alone"])
    def test_leaves_what_has_the_name_of_the_sidecar(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """If only the sidecar's name is taken, the image is not kept either."""
        _save(storage, b"older", name=f"{NAME}.json")

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=sidecar)

        assert storage.read(NAME) is None
        assert storage.read(f"{NAME}.json") == b"older"

    def test_leaves_nothing_behind_when_a_name_is_taken(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """What could not be kept whole is not kept in part."""
        _save(storage, b"older", name=f"{NAME}.json")

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=NOTE)

        assert dict(kept()) == {f"{NAME}.json": b"older"}

    def test_replaces_both(self, storage: Storage) -> None:
        """When asked to replace, it puts both in the place of what is there."""
        _save(storage, b"older", sidecar=b"{}")

        _save(storage, IMAGE, sidecar=NOTE, replace=True)

        assert storage.read(NAME) == IMAGE
        assert storage.read(f"{NAME}.json") == NOTE

    def test_leaves_no_sidecar_of_an_older_image(self, storage: Storage) -> None:
        """When an image without a sidecar replaces one, the old sidecar goes."""
        _save(storage, b"older", sidecar=NOTE)

        _save(storage, IMAGE, replace=True)

        assert storage.read(NAME) == IMAGE
        assert storage.read(f"{NAME}.json") is None

    def test_replaces_what_is_not_there(self, storage: Storage) -> None:
        """When there is nothing to replace, it keeps the image all the same."""
        _save(storage, IMAGE, sidecar=NOTE, replace=True)

        assert storage.read(NAME) == IMAGE
        assert storage.read(f"{NAME}.json") == NOTE

    def test_is_never_seen_half_written(self, storage: Storage) -> None:
        """Whoever looks while an image is replaced sees a whole one, old or new."""
        older, newer = b"a" * 400_000, b"b" * 400_000
        _save(storage, older)
        done = Event()
        seen: list[bytes | None] = []

        def look() -> None:
            while not done.is_set():
                seen.append(storage.read(NAME))

        thread = Thread(target=look, daemon=True)
        thread.start()
        try:
            for content in (newer, older) * 5:
                _save(storage, content, replace=True)
        finally:
            done.set()
            thread.join()

        assert [_short(one) for one in seen if one not in (older, newer)] == []

    def test_gives_a_name_to_one_of_many(self, storage: Storage) -> None:
        """Of several threads that want one name, one gets it, for both its files."""
        outcomes = _saved_at_once([storage] * CROWD, lambda _: NAME)

        _check_one_winner(storage, outcomes)

    def test_gives_a_name_to_one_of_many_processes(
        self, storage: Storage, another: Storage
    ) -> None:
        """Of several instances that want one name, one gets it, for both its files."""
        outcomes = _saved_at_once([storage, another] * (CROWD // 2), lambda _: NAME)

        _check_one_winner(storage, outcomes)

    def test_keeps_many_at_once(self, storage: Storage) -> None:
        """Several threads may keep images at once, even in a place that is new."""
        outcomes = _saved_at_once([storage] * CROWD, _numbered)

        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert [storage.read(_numbered(number)) for number in range(CROWD)] == [
            _image(number) for number in range(CROWD)
        ]

    def test_is_seen_by_another(self, storage: Storage, another: Storage) -> None:
        """What one instance keeps, another over the same place has, and leaves."""
        _save(storage, IMAGE, sidecar=NOTE)

        assert another.read(NAME) == IMAGE
        with pytest.raises(NameTaken):
            _save(another, b"newer")

    def test_says_that_it_could_not_be_kept(self, broken_storage: Storage) -> None:
        """What cannot be kept is a StorageError, and not that a name is taken."""
        with pytest.raises(StorageError) as failed:
            _save(broken_storage, IMAGE, sidecar=NOTE)

        assert not isinstance(failed.value, NameTaken)


def _save(
    storage: Storage,
    content: bytes,
    *,
    name: str = NAME,
    sidecar: bytes | None = None,
    replace: bool = False,
) -> str:
    return storage.save(
        name, content, media_type="image/png", sidecar=sidecar, replace=replace
    )


def _saved_at_once(
    storages: list[Storage], name_of: Callable[[int], str]
) -> list[str | Exception]:
    """Return what came of each save; all begin at the same moment."""
    outcomes: list[str | Exception] = [""] * len(storages)
    start = Barrier(len(storages), timeout=30)

    def save(number: int, storage: Storage) -> None:
        start.wait()
        try:
            outcomes[number] = _save(
                storage,
                _image(number),
                name=name_of(number),
                sidecar=b"%d" % number,
            )
        except Exception as error:  # noqa: BLE001 - whatever comes out is looked at
            outcomes[number] = error

    threads = [
        Thread(target=save, args=numbered, daemon=True)
        for numbered in enumerate(storages)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _check_one_winner(storage: Storage, outcomes: list[str | Exception]) -> None:
    winners = [n for n, one in enumerate(outcomes) if not isinstance(one, Exception)]
    others = [one for one in outcomes if isinstance(one, Exception)]

    assert len(winners) == 1, outcomes
    assert [error for error in others if not isinstance(error, NameTaken)] == []
    assert storage.read(NAME) == _image(winners[0])
    assert storage.read(f"{NAME}.json") == b"%d" % winners[0]


def _image(number: int) -> bytes:
    return b"%d" % number * 50_000


def _numbered(number: int) -> str:
    return f"new/folder/{number}.png"


def _short(content: bytes | None) -> str:
    return "nothing" if content is None else f"{len(content)} bytes, {content[:8]!r}"

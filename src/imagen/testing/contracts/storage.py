"""The promises that every `Storage` keeps."""

from collections.abc import Callable, Mapping
from threading import Barrier, Event, Thread

import pytest

from imagen.domain.errors import NameTaken, StorageError
from imagen.ports.storage import Storage
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.brief import abbreviate

IMAGE = bytes(range(256)) * 1024 + b"\r\n\x1a\n\0"
"""Every byte there is, more than fits one buffer, and an end that text would lose."""
NOTE = b'{"schema": 1, "prompt": "\xd1\x8f"}\n'
NAME = "2026-05-08/a-cat-42.png"
NOTES_NAME = f"{NAME}.json"
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

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

    def test_returns_none_where_nothing_is(self, storage: Storage) -> None:
        """Where nothing is kept, None is returned."""
        assert storage.read("nothing/here.png") is None

    def test_keeps_both_and_nothing_else(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """The image lies under its name, the sidecar under the same plus `.json`."""
        _save(storage, IMAGE, sidecar=NOTE)

        assert _all(kept()) == _all({NAME: IMAGE, NOTES_NAME: NOTE})

    def test_keeps_an_image_alone(self, storage: Storage) -> None:
        """Without a sidecar nothing lies under the sidecar's name."""
        _save(storage, IMAGE)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(None)

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

        assert _look(storage) == abbreviate(b"older")
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

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
        _save(storage, b"older", name=NOTES_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=sidecar)

        assert _look(storage) == abbreviate(None)
        assert _look(storage, NOTES_NAME) == abbreviate(b"older")

    def test_leaves_nothing_behind_when_a_name_is_taken(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """What could not be kept whole is not kept in part."""
        _save(storage, b"older", name=NOTES_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=NOTE)

        assert _all(kept()) == _all({NOTES_NAME: b"older"})

    def test_replaces_both(self, storage: Storage) -> None:
        """When asked to replace, it puts both in the place of what is there."""
        _save(storage, b"older", sidecar=b"{}")

        _save(storage, IMAGE, sidecar=NOTE, replace=True)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

    def test_leaves_no_sidecar_of_an_older_image(self, storage: Storage) -> None:
        """When an image without a sidecar replaces one, the old sidecar goes."""
        _save(storage, b"older", sidecar=NOTE)

        _save(storage, IMAGE, replace=True)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(None)

    def test_replaces_what_is_not_there(self, storage: Storage) -> None:
        """When there is nothing to replace, it keeps the image all the same."""
        _save(storage, IMAGE, sidecar=NOTE, replace=True)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

    def test_finds_again_what_is_kept_already(self, storage: Storage) -> None:
        """To save again what is kept already is to be told where it is."""
        place = _save(storage, IMAGE, sidecar=NOTE)

        assert _save(storage, IMAGE, sidecar=NOTE, again=True) == place
        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

    @pytest.mark.parametrize(
        ("older", "sidecar"),
        [(None, NOTE), (b"{}", NOTE), (NOTE, None)],
        ids=["missing", "another", "one too many"],
    )
    def test_puts_the_sidecar_right(
        self, storage: Storage, older: bytes | None, sidecar: bytes | None
    ) -> None:
        """When an image that is kept is saved again, its sidecar is put right."""
        place = _save(storage, IMAGE, sidecar=older)

        assert _save(storage, IMAGE, sidecar=sidecar, again=True) == place
        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(sidecar)

    def test_adds_the_image_to_its_sidecar(
        self, storage: Storage, kept: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """Where exactly its sidecar is alone, to save again is to add the image."""
        _save(storage, NOTE, name=NOTES_NAME)

        _save(storage, IMAGE, sidecar=NOTE, again=True)

        assert _all(kept()) == _all({NAME: IMAGE, NOTES_NAME: NOTE})

    @pytest.mark.parametrize("sidecar", [NOTE, None], ids=["sidecar", "alone"])
    def test_saves_again_what_never_was(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """Where nothing is, to save again is to save."""
        _save(storage, IMAGE, sidecar=sidecar, again=True)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(sidecar)

    @pytest.mark.parametrize("older", [NOTE, None], ids=["sidecar", "alone"])
    def test_leaves_another_image_when_it_saves_again(
        self, storage: Storage, older: bytes | None
    ) -> None:
        """Other bytes under the name are NameTaken as ever, and left."""
        other = IMAGE[:-1] + b"\1"
        _save(storage, other, sidecar=older)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=NOTE, again=True)

        assert _look(storage) == abbreviate(other)
        assert _look(storage, NOTES_NAME) == abbreviate(older)

    @pytest.mark.parametrize("sidecar", [NOTE, None], ids=["sidecar", "alone"])
    def test_leaves_another_sidecar_when_it_saves_again(
        self, storage: Storage, sidecar: bytes | None
    ) -> None:
        """Another sidecar alone under the name is NameTaken as ever, and left."""
        _save(storage, b"{}", name=NOTES_NAME)

        with pytest.raises(NameTaken):
            _save(storage, IMAGE, sidecar=sidecar, again=True)

        assert _look(storage) == abbreviate(None)
        assert _look(storage, NOTES_NAME) == abbreviate(b"{}")

    def test_replaces_again(self, storage: Storage) -> None:
        """To replace again is to replace."""
        _save(storage, b"older", sidecar=b"{}")

        _save(storage, IMAGE, sidecar=NOTE, replace=True, again=True)

        assert _look(storage) == abbreviate(IMAGE)
        assert _look(storage, NOTES_NAME) == abbreviate(NOTE)

    def test_gives_one_place_to_all_that_save_the_same_again(
        self, storage: Storage
    ) -> None:
        """Several threads that save the same again at once all get the one place."""
        _check_one_place(storage, [storage] * CROWD)

    def test_gives_one_place_to_all_processes_that_save_the_same_again(
        self, storage: Storage, another: Storage
    ) -> None:
        """Several instances that save the same again at once all get the one place."""
        _check_one_place(storage, [storage, another] * (CROWD // 2))

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

        assert {abbreviate(one) for one in seen if one not in (older, newer)} == set()

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
        assert [_look(storage, _numbered(number)) for number in range(CROWD)] == [
            abbreviate(_image(number)) for number in range(CROWD)
        ]

    def test_is_seen_by_another(self, storage: Storage, another: Storage) -> None:
        """What one instance keeps, another over the same place has, and leaves."""
        _save(storage, IMAGE, sidecar=NOTE)

        assert _look(another) == abbreviate(IMAGE)
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
    again: bool = False,
) -> str:
    return storage.save(
        name,
        content,
        media_type="image/png",
        sidecar=sidecar,
        replace=replace,
        again=again,
    )


def _saved_at_once(
    storages: list[Storage], name_of: Callable[[int], str]
) -> list[str | Exception]:
    """Return what came of saving an image in each, under its name."""

    def save(number: int) -> str:
        return _save(
            storages[number],
            _image(number),
            name=name_of(number),
            sidecar=b"%d" % number,
        )

    return _done_at_once(len(storages), save)


def _done_at_once(times: int, work: Callable[[int], str]) -> list[str | Exception]:
    """Return what came of each time; all begin at the same moment."""
    outcomes: list[str | Exception] = [""] * times
    start = Barrier(times, timeout=30)

    def do(number: int) -> None:
        start.wait()
        try:
            outcomes[number] = work(number)
        except Exception as error:  # noqa: BLE001 - whatever comes out is looked at
            outcomes[number] = error

    threads = [
        Thread(target=do, args=(number,), daemon=True) for number in range(times)
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
    assert _look(storage) == abbreviate(_image(winners[0]))
    assert _look(storage, NOTES_NAME) == abbreviate(b"%d" % winners[0])


def _check_one_place(storage: Storage, storages: list[Storage]) -> None:
    outcomes = _done_at_once(
        len(storages),
        lambda number: _save(storages[number], IMAGE, sidecar=NOTE, again=True),
    )

    place = _save(storage, IMAGE, sidecar=NOTE, again=True)
    assert outcomes == [place] * len(storages)
    assert _look(storage) == abbreviate(IMAGE)
    assert _look(storage, NOTES_NAME) == abbreviate(NOTE)


def _image(number: int) -> bytes:
    return b"%d" % number * 50_000


def _numbered(number: int) -> str:
    return f"new/folder/{number}.png"


def _look(storage: Storage, name: str = NAME) -> str:
    return abbreviate(storage.read(name))


def _all(kept: Mapping[str, bytes]) -> dict[str, str]:
    return {name: abbreviate(content) for name, content in kept.items()}

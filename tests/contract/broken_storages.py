"""A correct storage and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Callable, Mapping
from threading import Event, Lock, current_thread, main_thread
from typing import ClassVar

import pytest
from tests.contract.broken import Rendezvous

from imagen.domain.errors import NameTaken, StorageError
from imagen.ports.storage import Storage
from imagen.testing import MemoryStorage, StorageContract


class Shelf(MemoryStorage):
    """A correct storage; several instances may share the files."""

    def __init__(self, like: "Shelf | None" = None) -> None:
        super().__init__()
        if like is not None:
            self.kept, self._lock = like.kept, like._lock

    def overwrite(
        self, name: str, content: bytes, *, sidecar: bytes | None = None, **_: object
    ) -> str:
        """Save over anything, which no storage may do."""
        note = {} if sidecar is None else {f"{name}.json": sidecar}
        with self._lock:
            self.kept.pop(f"{name}.json", None)
            self.kept.update({name: content, **note})
        return f"memory:{name}"


class FullShelf(Shelf):
    def save(self, name: str, content: bytes, **_: object) -> str:
        raise StorageError("There is no room left.")


class Staged(StorageContract):
    Made: ClassVar[type[Shelf]]
    Full: ClassVar[type[Shelf]] = FullShelf
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def storage(self) -> Storage:
        return self.Made()

    @pytest.fixture
    def another(self, storage: Shelf) -> Storage:
        return self.Made(storage)

    @pytest.fixture
    def kept(self, storage: Shelf) -> Callable[[], Mapping[str, bytes]]:
        return lambda: storage.kept

    @pytest.fixture
    def broken_storage(self) -> Storage:
        return self.Full()


class TestIsHealthy(Staged):
    Made = Shelf
    breaks: ClassVar[set[str]] = set()


class TestOverwrites(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            return self.overwrite(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_leaves_what_has_the_name",
        "test_takes_no_name_twice_for_the_same_image",
        "test_leaves_what_has_the_name_of_the_sidecar",
        "test_leaves_nothing_behind_when_a_name_is_taken",
        "test_leaves_another_image_when_it_saves_again",
        "test_leaves_another_sidecar_when_it_saves_again",
        "test_gives_a_name_to_one_of_many",
        "test_gives_a_name_to_one_of_many_processes",
        "test_is_seen_by_another",
    }


class TestTakesTheSameTwice(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if self.kept.get(name) == content and not how.get("sidecar"):
                return f"memory:{name}"
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_takes_no_name_twice_for_the_same_image",
        "test_puts_the_sidecar_right",
    }


class TestIsSeenHalfWritten(Staged):
    class Made(Shelf):
        """Saves a half first, once and for a reader in another thread."""

        has_reader, half = False, b""

        def __init__(self, like: Shelf | None = None) -> None:
            super().__init__(like)
            self.was_seen = Event()

        def save(self, name: str, content: bytes, **how: object) -> str:
            if self.has_reader and not self.half:
                self.kept[name] = self.half = content[: len(content) // 2]
                self.was_seen.wait(60)
                del self.kept[name]
            return super().save(name, content, **how)

        def read(self, name: str) -> bytes | None:
            content = super().read(name)
            if current_thread() is not main_thread():
                self.has_reader = True
                if content is self.half:
                    self.was_seen.set()
            return content

    breaks: ClassVar[set[str]] = {"test_is_never_seen_half_written"}


class TestForgetsTheSidecar(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            return super().save(name, content, **{**how, "sidecar": None})

    breaks: ClassVar[set[str]] = {
        "test_returns_what_is_kept",
        "test_keeps_both_and_nothing_else",
        "test_leaves_what_has_the_name",
        "test_finds_again_what_is_kept_already",
        "test_puts_the_sidecar_right",
        "test_adds_the_image_to_its_sidecar",
        "test_saves_again_what_never_was",
        "test_leaves_another_image_when_it_saves_again",
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
        "test_gives_a_name_to_one_of_many",
        "test_gives_a_name_to_one_of_many_processes",
    }


class TestLeavesAStaleSidecar(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            older = self.kept.get(f"{name}.json")
            place = super().save(name, content, **how)
            if older is not None:
                self.kept.setdefault(f"{name}.json", older)
            return place

    breaks: ClassVar[set[str]] = {
        "test_puts_the_sidecar_right",
    }


class TestMakesUpASidecar(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if not name.endswith(".json"):
                how["sidecar"] = how.get("sidecar") or b"{}"
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_keeps_an_image_alone",
        "test_puts_the_sidecar_right",
        "test_saves_again_what_never_was",
        "test_leaves_another_image_when_it_saves_again",
        "test_leaves_another_sidecar_when_it_saves_again",
    }


class TestLosesBytes(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            return super().save(name, content.rstrip(b"\0"), **how)

    breaks: ClassVar[set[str]] = {
        "test_returns_what_is_kept",
        "test_keeps_both_and_nothing_else",
        "test_keeps_an_image_alone",
        "test_finds_again_what_is_kept_already",
        "test_puts_the_sidecar_right",
        "test_adds_the_image_to_its_sidecar",
        "test_saves_again_what_never_was",
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
        "test_is_seen_by_another",
    }


class TestWritesWrongAndReadsWrong(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            return super().save(name, content[::-1], **how)

        def read(self, name: str) -> bytes | None:
            content = super().read(name)
            saved_as_image = content in (b"older"[::-1], b"{}"[::-1])
            is_note = name.endswith(".json") and not saved_as_image
            return content if content is None or is_note else content[::-1]

    breaks: ClassVar[set[str]] = {
        "test_keeps_both_and_nothing_else",
        "test_leaves_nothing_behind_when_a_name_is_taken",
        "test_adds_the_image_to_its_sidecar",
    }


class TestIsTooLateToLook(Staged):
    class Made(Shelf):
        crowd = Rendezvous()

        def save(self, name: str, content: bytes, **how: object) -> str:
            is_free = not {name, f"{name}.json"} & self.kept.keys()
            self.crowd.wait()
            save = self.overwrite if is_free else super().save
            return save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_gives_a_name_to_one_of_many",
        "test_gives_a_name_to_one_of_many_processes",
    }


class TestKnowsOnlyItsOwn(Staged):
    class Made(Shelf):
        def __init__(self, like: Shelf | None = None) -> None:
            super().__init__()

    breaks: ClassVar[set[str]] = {
        "test_is_seen_by_another",
        "test_gives_a_name_to_one_of_many_processes",
    }


class TestKeepsAPart(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            note = f"{name}.json"
            if note in self.kept and name not in self.kept:
                self.kept[f".{name}.part"] = content
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_leaves_nothing_behind_when_a_name_is_taken",
        "test_adds_the_image_to_its_sidecar",
    }


class TestOverwritesASidecar(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if name not in self.kept:
                self.kept.pop(f"{name}.json", None)
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_leaves_what_has_the_name_of_the_sidecar",
        "test_leaves_nothing_behind_when_a_name_is_taken",
        "test_leaves_another_sidecar_when_it_saves_again",
    }


class TestSaysNotWhereItIs(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            super().save(name, content, **how)
            return "memory"

    breaks: ClassVar[set[str]] = {"test_says_where_it_is"}


class TestRaisesForNothing(Staged):
    class Made(Shelf):
        def read(self, name: str) -> bytes | None:
            return self.kept[name]

    breaks: ClassVar[set[str]] = {
        "test_returns_none_where_nothing_is",
        "test_keeps_an_image_alone",
        "test_leaves_what_has_the_name_of_the_sidecar",
        "test_puts_the_sidecar_right",
        "test_saves_again_what_never_was",
        "test_leaves_another_image_when_it_saves_again",
        "test_leaves_another_sidecar_when_it_saves_again",
        "test_is_never_seen_half_written",
    }


class TestForgetsThatItMayHaveSaved(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            return super().save(name, content, **{**how, "again": False})

    breaks: ClassVar[set[str]] = {
        "test_finds_again_what_is_kept_already",
        "test_puts_the_sidecar_right",
        "test_adds_the_image_to_its_sidecar",
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
    }


class TestSavesAgainOverAnything(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            save = self.overwrite if how.get("again") else super().save
            return save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_leaves_another_image_when_it_saves_again",
        "test_leaves_another_sidecar_when_it_saves_again",
    }


class TestTakesTheSameLengthForTheSame(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if how.get("again") and len(self.kept.get(name, b"")) == len(content):
                content = self.kept[name]
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {"test_leaves_another_image_when_it_saves_again"}


class TestLeavesTheSidecarOfAnImageAsItIs(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if how.get("again") and self.kept.get(name) == content:
                how["sidecar"] = self.kept.get(f"{name}.json")
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {"test_puts_the_sidecar_right"}


class TestAddsTheImageToAnySidecar(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if how.get("again") and name not in self.kept:
                self.kept.pop(f"{name}.json", None)
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {"test_leaves_another_sidecar_when_it_saves_again"}


class TestLeavesAHalfDoneSave(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            how["again"] = how.get("again") and name in self.kept
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {"test_adds_the_image_to_its_sidecar"}


class TestSavesNothingThatWasNotThere(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if how.get("again") and not {name, f"{name}.json"} & self.kept.keys():
                raise StorageError(f"{name} was never there.")
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_saves_again_what_never_was",
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
    }


class TestNumbersWhatIsSavedAgain(Staged):
    class Made(Shelf):
        def save(self, name: str, content: bytes, **how: object) -> str:
            if how.get("again") and self.kept.get(name) == content:
                self.kept.update(
                    {name: content, f"{name}.json": how.get("sidecar") or b""}
                )
                name = f"{name}.2"
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_finds_again_what_is_kept_already",
        "test_puts_the_sidecar_right",
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
    }


class TestLooksForWhatItSavedTooEarly(Staged):
    class Made(Shelf):
        crowd = Rendezvous()

        def save(self, name: str, content: bytes, **how: object) -> str:
            is_free = not {name, f"{name}.json"} & self.kept.keys()
            self.crowd.wait()
            how["again"] = how.get("again") and not is_free
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {
        "test_gives_one_place_to_all_that_save_the_same_again",
        "test_gives_one_place_to_all_processes_that_save_the_same_again",
    }


class TestLetsAnOsErrorOut(Staged):
    class Full(Shelf):
        def save(self, name: str, content: bytes, **_: object) -> str:
            raise OSError("No space left on device")

    Made = Shelf
    breaks: ClassVar[set[str]] = {"test_says_that_it_could_not_be_kept"}


class TestCallsAFullDiskATakenName(Staged):
    class Full(Shelf):
        def save(self, name: str, content: bytes, **_: object) -> str:
            raise NameTaken("There is no room left.")

    Made = Shelf
    breaks: ClassVar[set[str]] = {"test_says_that_it_could_not_be_kept"}


class TestForgetsTheFoldersOfOthers(Staged):
    class Made(Shelf):
        crowd, lock = Rendezvous(), Lock()

        def save(self, name: str, content: bytes, **how: object) -> str:
            folder = name.rpartition("/")[0]
            is_new = folder.startswith("new") and folder not in self.media_types
            self.crowd.wait()
            with self.lock:
                if is_new and folder in self.media_types:
                    raise StorageError(f"{folder} exists.")
                self.media_types[folder] = "folder"
            return super().save(name, content, **how)

    breaks: ClassVar[set[str]] = {"test_keeps_many_at_once"}

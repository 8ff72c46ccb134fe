"""A correct history and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import ClassVar, TypedDict, Unpack

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.history import HistoryContract
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)

from imagen.adapters.database.history import SqliteHistory
from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.usage import Dimension

replaced = msgspec.structs.replace


class Search(TypedDict, total=False):
    words: str
    backend: str
    model: str
    caller: str
    since: date | None
    until: date | None
    before: Position | None
    limit: int | None


class Staged(HistoryContract):
    """Builds histories of a class over one database.

    Attributes:
        Made: The class.
        error: What every method of the broken history raises; None to damage its file.
        is_shared: Whether the second instance has the same images.
    """

    Made: ClassVar[type[SqliteHistory]] = SqliteHistory
    error: ClassVar[Exception | None] = None
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def history(self, tmp_path: Path) -> SqliteHistory:
        return self.Made(QuickDatabase(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteHistory:
        return self.Made(QuickDatabase(tmp_path if self.is_shared else tmp_path / "b"))

    @pytest.fixture
    def broken_history(self, tmp_path: Path) -> SqliteHistory:
        if self.error is None:
            return SqliteHistory(damaged_database(tmp_path))
        return SqliteHistory(FailingDatabase(tmp_path, self.error))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


# Faults of adding and listing.


class TestForgetsParameters(Staged):
    class Made(SqliteHistory):
        def add(self, entries: Sequence[HistoryEntry]) -> None:
            super().add(
                [
                    replaced(e, sidecar=replaced(e.sidecar, parameters={}))
                    for e in entries
                ]
            )

    breaks: ClassVar[set[str]] = {
        "test_remembers_what_was_made",
        "test_has_the_newest_first",
        "test_replaces_what_is_remembered",
        "test_gets_an_image_by_its_id",
        "test_gets_the_id_before_one_that_begins_so",
        "test_forgets_an_image",
    }


class TestKeepsTheFirst(Staged):
    class Made(SqliteHistory):
        def add(self, entries: Sequence[HistoryEntry]) -> None:
            super().add([e for e in entries if self.get(e.sidecar.id) is None])

    breaks: ClassVar[set[str]] = {
        "test_replaces_what_is_remembered",
    }


class TestHasTheOldestFirst(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            limit = search.pop("limit", None)
            return islice(reversed(list(super().find(**search))), limit)

    breaks: ClassVar[set[str]] = {
        "test_remembers_what_was_made",
        "test_has_the_newest_first",
        "test_replaces_what_is_remembered",
        "test_finds_what_was_made_since_a_date",
        "test_finds_as_many_as_are_asked_for",
        "test_forgets_what_is_older",
        "test_is_used_by_many_at_once",
        "test_goes_on_where_it_stopped",
        "test_finds_what_was_made_until_a_date",
        "test_finds_what_a_model_or_a_caller_made",
    }


class TestIsInNoOrder(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            found = super().find(**search)
            return iter(sorted(found, key=_last_letter, reverse=True))

    breaks: ClassVar[set[str]] = {
        "test_remembers_what_was_made",
        "test_has_the_newest_first",
        "test_replaces_what_is_remembered",
        "test_finds_what_was_made_since_a_date",
        "test_finds_as_many_as_are_asked_for",
        "test_forgets_what_is_older",
        "test_is_used_by_many_at_once",
        "test_goes_on_where_it_stopped",
        "test_finds_what_was_made_until_a_date",
        "test_finds_what_a_model_or_a_caller_made",
    }


class TestKnowsOnlyItsOwn(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {
        "test_is_seen_by_another",
        "test_is_used_by_many_at_once",
    }


class TestLosesImagesInACrowd(Staged):
    class Made(SqliteHistory):
        crowd, lock = Rendezvous(), Lock()

        def add(self, entries: Sequence[HistoryEntry]) -> None:
            before = list(self.find())
            self.crowd.wait()
            with self.lock:
                for entry in list(self.find()):
                    self.forget(entry.sidecar.id)
                super().add([*before, *entries])

    breaks: ClassVar[set[str]] = {
        "test_is_used_by_many_at_once",
    }


# Faults of the search.


class Filtering(SqliteHistory):
    """A history with its own rule for matching words."""

    def matches(self, words: str, prompt: str) -> bool:
        raise NotImplementedError

    def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
        words, limit = search.pop("words", ""), search.pop("limit", None)
        found = super().find(**search)
        return islice(
            (e for e in found if self.matches(words, e.sidecar.prompt)), limit
        )


class TestMindsCase(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            return all(word in prompt for word in words.split())

    breaks: ClassVar[set[str]] = {
        "test_finds_words",
    }


class TestFindsWholeWords(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            there = re.findall(r"\w+", prompt.casefold())
            return all(word in there for word in words.casefold().split())

    breaks: ClassVar[set[str]] = {
        "test_finds_words",
    }


class TestFindsPatterns(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            return all(
                re.search(re.escape(word).replace("%", ".*"), prompt.casefold())
                for word in words.casefold().split()
            )

    breaks: ClassVar[set[str]] = {
        "test_finds_words",
    }


class TestFindsAnyOfTheWords(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            sought = words.casefold().split()
            return not sought or any(word in prompt.casefold() for word in sought)

    breaks: ClassVar[set[str]] = {
        "test_replaces_what_is_remembered",
        "test_finds_words",
        "test_finds_as_many_as_are_asked_for",
    }


class TestFindsTheSentence(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            return words.casefold() in prompt.casefold()

    breaks: ClassVar[set[str]] = {
        "test_finds_words",
    }


class TestFindsShortWordsEverywhere(Staged):
    class Made(Filtering):
        def matches(self, words: str, prompt: str) -> bool:
            sought = [word for word in words.casefold().split() if len(word) > 2]
            return all(word in prompt.casefold() for word in sought)

    breaks: ClassVar[set[str]] = {
        "test_finds_words",
        "test_finds_as_many_as_are_asked_for",
        "test_goes_on_where_it_stopped",
    }


class TestFindsBackendsThatBeginSo(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            backend, limit = search.pop("backend", ""), search.pop("limit", None)
            found = super().find(**search)
            return islice(
                (e for e in found if e.sidecar.backend.startswith(backend)), limit
            )

    breaks: ClassVar[set[str]] = {
        "test_finds_what_a_backend_made",
    }


class TestBeginsADayLater(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            if day := search.get("since"):
                search["since"] = day + timedelta(days=1)
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_finds_what_was_made_since_a_date",
        "test_finds_what_fits_all_that_is_said",
    }


class TestCountsBeforeItLooks(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            limit = search.pop("limit", None)
            newest = list(super().find(limit=limit))
            return (entry for entry in super().find(**search) if entry in newest)

    breaks: ClassVar[set[str]] = {
        "test_finds_as_many_as_are_asked_for",
        "test_goes_on_where_it_stopped",
    }


class TestHasNoLimit(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            search["limit"] = search.get("limit") or None
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_finds_as_many_as_are_asked_for",
    }


class TestTakesTheDayAsWell(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            if day := search.get("until"):
                search["until"] = day + timedelta(days=1)
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_finds_what_was_made_until_a_date",
    }


class TestKnowsNoCallers(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            search["caller"] = ""
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_finds_what_a_model_or_a_caller_made",
    }


class TestSkipsWhatIsOfTheSameMoment(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            if before := search.get("before"):
                search["before"] = Position(before.made, "")
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_goes_on_where_it_stopped",
    }


class TestBeginsWithThePosition(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            if before := search.get("before"):
                search["before"] = Position(before.made, before.image_id + "0")
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_goes_on_where_it_stopped",
    }


class TestCountsInNoOrder(Staged):
    class Made(SqliteHistory):
        def count(self, by: Dimension) -> Mapping[str, int]:
            return dict(reversed(super().count(by).items()))

    breaks: ClassVar[set[str]] = {
        "test_counts_its_images",
    }


class TestSearchesForOneThing(Staged):
    class Made(SqliteHistory):
        def find(self, **search: Unpack[Search]) -> Iterator[HistoryEntry]:
            if search.get("words"):
                search["backend"], search["since"] = "", None
            return super().find(**search)

    breaks: ClassVar[set[str]] = {
        "test_replaces_what_is_remembered",
        "test_finds_what_fits_all_that_is_said",
    }


# Faults of the lookup by id.


class TestMindsTheCaseOfIds(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            return None if name != name.lower() else super().get(name)

    breaks: ClassVar[set[str]] = {
        "test_gets_an_image_by_its_id",
        "test_says_that_several_begin_so",
    }


class TestWantsWholeIds(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            found = super().get(name)
            is_whole = found and found.sidecar.id == name.lower()
            return found if name == "last" or is_whole else None

    breaks: ClassVar[set[str]] = {
        "test_gets_an_image_by_its_id",
    }


class TestGetsTheFirstOfSeveral(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            try:
                return super().get(name)
            except InvalidRequest:
                return next(self.find())

    breaks: ClassVar[set[str]] = {
        "test_says_that_several_begin_so",
    }


class TestDoubtsWholeIds(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            ids = [entry.sidecar.id for entry in self.find()]
            if sum(each.startswith(name.lower()) for each in ids) > 1:
                raise InvalidRequest("Several begin so.")
            return super().get(name)

    breaks: ClassVar[set[str]] = {
        "test_gets_the_id_before_one_that_begins_so",
    }


class TestRaisesForWhatIsNotThere(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            found = super().get(name)
            if found is None:
                raise InvalidRequest("There is no such image.")
            return found

    breaks: ClassVar[set[str]] = {
        "test_has_nothing_at_first",
        "test_gets_nothing_by_another_name",
        "test_forgets_an_image",
    }


class TestHasTheOldestLast(Staged):
    class Made(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            if name == "last":
                return next(reversed(list(self.find())), None)
            return super().get(name)

    breaks: ClassVar[set[str]] = {
        "test_has_the_newest_first",
    }


# Faults of deleting.


class TestNeverForgets(Staged):
    class Made(SqliteHistory):
        def forget(self, image_id: str) -> bool:
            return self.get(image_id) is not None

    breaks: ClassVar[set[str]] = {
        "test_forgets_an_image",
        "test_says_that_there_is_nothing_to_forget",
        "test_is_seen_by_another",
    }


class TestSaysThatItForgot(Staged):
    class Made(SqliteHistory):
        def forget(self, image_id: str) -> bool:
            super().forget(image_id)
            return True

    breaks: ClassVar[set[str]] = {
        "test_says_that_there_is_nothing_to_forget",
    }


class TestForgetsTheMomentToo(Staged):
    class Made(SqliteHistory):
        def forget_older(self, than: datetime) -> int:
            return super().forget_older(than + timedelta(microseconds=1))

    breaks: ClassVar[set[str]] = {
        "test_forgets_what_is_older",
    }


class TestLosesCount(Staged):
    class Made(SqliteHistory):
        def forget_older(self, than: datetime) -> int:
            return bool(super().forget_older(than))

    breaks: ClassVar[set[str]] = {
        "test_forgets_what_is_older",
    }


# Faults of error handling.


class TestLetsAnOsErrorOut(Staged):
    error = OSError("Input/output error")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


class TestRaisesAnErrorCode(Staged):
    error = JournalError("EIO")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


def _last_letter(entry: HistoryEntry) -> str:
    return entry.sidecar.id[-1]

"""The contract of `History`."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict, Unpack

import pytest
from tests.contract_internal.samples import sample_entry

from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.usage import DIMENSIONS
from imagen.ports.history import History
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import sample_id

MIDNIGHT = datetime(2026, 11, 16, tzinfo=UTC)
PROMPTS = (
    "A Red fox in the snow",
    "Ёлка и ЛИСА, Straße, naïve café",
    "雪の中の狐",
    "100% \"quoted\" AND 'single' * -fox NEAR(a, b) \\_x %y ^{z}: (",
    "a",
    "Łódź, smørrebrød, שָׁלוֹם",
    "がの",
)


class HistoryContract(Contract):
    """The tests that every `History` must pass.

    Override `history`, and `another` and `broken_history` as far as possible.
    """

    @pytest.fixture
    def history(self) -> History:
        """A history without images."""
        raise NotImplementedError("Override the fixture `history`.")

    @pytest.fixture
    def another(self) -> History:
        """A second instance on the same images, as in another process."""
        pytest.skip("the fixture `another` is not provided")

    @pytest.fixture
    def broken_history(self) -> History:
        """A history that can be neither read nor written."""
        pytest.skip("the fixture `broken_history` is not provided")

    def test_has_nothing_at_first(self, history: History) -> None:
        """An empty history finds nothing, and has no last image."""
        assert list(history.find()) == []
        assert history.get("last") is None
        assert history.get(sample_id(1)) is None

    def test_remembers_what_was_made(self, history: History) -> None:
        """An image comes back with all fields unchanged."""
        history.add([sample_entry(1), sample_entry(2)])

        assert list(history.find()) == [sample_entry(2), sample_entry(1)]
        assert history.get(sample_id(1)) == sample_entry(1)

    def test_has_the_newest_first(self, history: History) -> None:
        """Images are sorted by their creation, the newest first."""
        history.add([sample_entry(2), sample_entry(3)])
        history.add([sample_entry(1)])

        assert _numbers(history) == [3, 2, 1]
        assert history.get("last") == sample_entry(3)

    def test_replaces_what_is_remembered(self, history: History) -> None:
        """Adding an image with a known id replaces the entry."""
        newer = sample_entry(1, prompt="a badger", backend="sd")
        history.add([sample_entry(1, prompt="a fox"), sample_entry(2)])
        history.add([newer])

        assert list(history.find()) == [sample_entry(2), newer]
        assert list(history.find(words="badger")) == [newer]
        assert list(history.find(words="a fox", backend="sd")) == []

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("fox", {0, 3}),
            ("FOX red", {0}),
            ("\tsnow \n the", {0}),
            ("now", {0}),
            ("x", {0, 3}),
            ("fox badger", set[int]()),
            ("лиса ёл", {1}),
            ("STRASSE", {1}),
            ("CAFÉ ïv", {1}),
            ("cafe naive елка", {1}),
            ("SNÖW", {0}),
            ("lodz smorrebrod שלום", {5}),
            ("がの", {6}),
            ("かの", set[int]()),
            ("狐", {2}),
            ("の雪", set[int]()),
            ("の中の狐 雪", {2}),
            ("100%", {3}),
            ("%", {3}),
            ("_", {3}),
            ('"quoted"', {3}),
            ('"', {3}),
            ("'single'", {3}),
            ("*", {3}),
            ("AND", {3}),
            ("near(a,", {3}),
            ("-fox", {3}),
            ("\\_x", {3}),
            ("^{z}:", {3}),
            ("(", {3}),
            ("prompt:fox", set[int]()),
            ("fox*", set[int]()),
            ("\udcff", set[int]()),
            ("fox\0", set[int]()),
            ("fox " * 2000, {0, 3}),
            ("fox" * 2000, set[int]()),
            (" ".join(map(str, range(3000))), set[int]()),
            ("", set(range(7))),
            (" ", set(range(7))),
        ],
        ids=lambda words: repr(words)[:12],
    )
    def test_finds_words(self, history: History, words: str, found: set[int]) -> None:
        """Each word occurs literally in the prompt of an image that is found."""
        # Full-text engines give a meaning to AND, NEAR, quotes, hyphens and asterisks,
        # and LIKE to percent signs and underscores. Here they are ordinary characters.
        history.add([sample_entry(n, prompt=words) for n, words in enumerate(PROMPTS)])

        assert set(_numbers(history, words=words)) == found

    def test_finds_what_a_backend_made(self, history: History) -> None:
        """The search can be limited to a backend."""
        history.add([sample_entry(1), sample_entry(2, backend="sd")])

        assert _numbers(history, backend="sd") == [2]
        assert _numbers(history, backend="s") == []

    def test_finds_what_was_made_since_a_date(self, history: History) -> None:
        """`since` includes the first moment of the UTC date."""
        before = MIDNIGHT - timedelta(milliseconds=1)
        history.add([sample_entry(1, at=before), sample_entry(2, at=MIDNIGHT)])

        assert _numbers(history, since=MIDNIGHT.date()) == [2]
        assert _numbers(history, since=date(2026, 11, 15)) == [2, 1]

    def test_finds_what_was_made_until_a_date(self, history: History) -> None:
        """`until` excludes the first moment of the UTC date."""
        before = MIDNIGHT - timedelta(milliseconds=1)
        history.add([sample_entry(1, at=before), sample_entry(2, at=MIDNIGHT)])

        assert _numbers(history, until=MIDNIGHT.date()) == [1]
        assert _numbers(history, until=date(2026, 11, 17)) == [2, 1]

    def test_finds_what_a_model_or_a_caller_made(self, history: History) -> None:
        """The search can be limited to a model, a caller, or both."""
        history.add(
            [
                sample_entry(1, model="dev", caller="ada"),
                sample_entry(2, model="dev", caller="bob"),
                sample_entry(3, model="", caller="bob"),
            ]
        )

        assert _numbers(history, model="dev") == [2, 1]
        assert _numbers(history, caller="bob") == [3, 2]
        assert _numbers(history, model="dev", caller="bob") == [2]
        assert _numbers(history, model="de") == _numbers(history, caller="b") == []

    def test_goes_on_where_it_stopped(self, history: History) -> None:
        """`before` continues after a position, even if its image was deleted."""
        # The gallery loads page after page while images are added and deleted.
        entries = [
            sample_entry(n, at=MIDNIGHT + timedelta(seconds=n // 2), prompt=f"fox {n}")
            for n in range(6)
        ]
        history.add(entries)

        assert _numbers(history, before=entries[4].position) == [3, 2, 1, 0]
        assert _numbers(history, before=entries[3].position, limit=2) == [2, 1]
        assert _numbers(history, before=entries[3].position, words="1") == [1]
        assert _numbers(history, before=entries[0].position) == []
        history.forget(entries[4].sidecar.id)
        assert _numbers(history, before=entries[4].position) == [3, 2, 1, 0]

    def test_counts_its_images(self, history: History) -> None:
        """`count` returns the number of images per value, in a fixed order."""
        assert history.count("backend") == {}
        sunday = MIDNIGHT - timedelta(milliseconds=1)
        history.add(
            [
                sample_entry(1, at=sunday, caller="bob", backend="sd"),
                sample_entry(2, at=MIDNIGHT, caller="", model="dev"),
                sample_entry(3, at=MIDNIGHT, caller="bob", model="a"),
            ]
        )

        counts = {by: list(history.count(by).items()) for by in DIMENSIONS}
        assert counts == {
            "week": [("2026-W47", 2), ("2026-W46", 1)],
            "backend": [("flux", 2), ("sd", 1)],
            "model": [("a", 1), ("dev", 1), ("flux-dev", 1)],
            "caller": [("", 1), ("bob", 2)],
        }

    def test_finds_as_many_as_are_asked_for(self, history: History) -> None:
        """`limit` returns only the newest of the images that are found."""
        history.add([sample_entry(n, prompt=f"fox {n % 2}") for n in range(6)])

        assert _numbers(history, words="fox 1", limit=2) == [5, 3]
        assert _numbers(history, limit=0) == []
        assert _numbers(history, limit=100) == [5, 4, 3, 2, 1, 0]

    def test_finds_what_fits_all_that_is_said(self, history: History) -> None:
        """Words, backend and date limit the search together."""
        history.add(
            [
                sample_entry(1, prompt="fox", at=MIDNIGHT),
                sample_entry(2, prompt="badger", at=MIDNIGHT),
                sample_entry(3, prompt="fox", at=MIDNIGHT, backend="sd"),
                sample_entry(4, prompt="fox", at=MIDNIGHT - timedelta(days=1)),
            ]
        )

        found = _numbers(history, words="fox", backend="flux", since=MIDNIGHT.date())
        assert found == [1]

    @pytest.mark.parametrize(
        "name", [sample_id(1), sample_id(1).upper(), "019a0001-", "019A0001"]
    )
    def test_gets_an_image_by_its_id(self, history: History, name: str) -> None:
        """An id or a unique prefix of it, in either case, finds the image."""
        history.add([sample_entry(n) for n in (1, 2, 16)])

        assert history.get(name) == sample_entry(1)

    @pytest.mark.parametrize(
        "name", ["b", f"{sample_id(1)}0", "_", "%", "\udcff", "Last "]
    )
    def test_gets_nothing_by_another_name(self, history: History, name: str) -> None:
        """A name that does not begin an id finds nothing."""
        history.add([sample_entry(1)])

        assert history.get(name) is None

    @pytest.mark.parametrize("name", ["019a", "019A00"])
    def test_says_that_several_begin_so(self, history: History, name: str) -> None:
        """An ambiguous prefix is an InvalidRequest."""
        history.add([sample_entry(1), sample_entry(2)])

        with pytest.raises(InvalidRequest):
            history.get(name)

    def test_gets_the_id_before_one_that_begins_so(self, history: History) -> None:
        """A complete id finds its image, even if another id begins with it."""
        longer = sample_entry(2, image_id=f"{sample_id(1)}0")
        history.add([longer, sample_entry(1)])

        assert history.get(sample_id(1)) == sample_entry(1)

    def test_forgets_an_image(self, history: History) -> None:
        """A deleted entry is not found any more; the others are."""
        history.add([sample_entry(1), sample_entry(2, prompt="a badger")])

        assert history.forget(sample_id(2)) is True
        assert _numbers(history) == [1]
        assert _numbers(history, words="badger") == []
        assert history.get(sample_id(2)) is None
        assert history.get("last") == sample_entry(1)

    def test_says_that_there_is_nothing_to_forget(self, history: History) -> None:
        """Deleting an unknown entry returns False."""
        history.add([sample_entry(1)])

        assert history.forget(sample_id(2)) is False
        assert history.forget(sample_id(1)) is True
        assert history.forget(sample_id(1)) is False

    def test_forgets_what_is_older(self, history: History) -> None:
        """Entries older than the moment are deleted, and their number is returned."""
        history.add(
            [sample_entry(n, at=MIDNIGHT + timedelta(seconds=n)) for n in range(5)]
        )

        assert history.forget_older(MIDNIGHT + timedelta(seconds=3)) == 3
        assert _numbers(history) == [4, 3]
        assert _numbers(history, words="fox") == [4, 3]
        assert history.forget_older(MIDNIGHT + timedelta(seconds=3)) == 0

    def test_is_seen_by_another(self, history: History, another: History) -> None:
        """A change by one instance is visible to another."""
        history.add([sample_entry(1), sample_entry(2)])
        another.forget(sample_id(2))

        assert _numbers(another, words="fox") == _numbers(history) == [1]

    def test_is_used_by_many_at_once(self, history: History, another: History) -> None:
        """Threads and processes add entries at once without losing one."""
        histories = [history, another] * (CROWD // 2)

        def add(n: int) -> None:
            histories[n].add([sample_entry(n)])

        assert run_at_once(add) == [None] * CROWD
        assert _numbers(history, words="fox") == list(range(CROWD - 1, -1, -1))

    @pytest.mark.parametrize(
        "method", ["add", "find", "count", "get", "forget", "forget_older"]
    )
    def test_says_that_it_is_broken(self, broken_history: History, method: str) -> None:
        """A history that cannot be read or written raises JournalError."""
        calls: dict[str, Callable[[], object]] = {
            "add": lambda: broken_history.add([sample_entry()]),
            "find": lambda: list(broken_history.find()),
            "count": lambda: broken_history.count("week"),
            "get": lambda: broken_history.get("last"),
            "forget": lambda: broken_history.forget(sample_id(1)),
            "forget_older": lambda: broken_history.forget_older(MIDNIGHT),
        }

        with pytest.raises(JournalError) as failed:
            calls[method]()

        assert failed.value.message.endswith(".")


class _Search(TypedDict, total=False):
    words: str
    backend: str
    model: str
    caller: str
    since: date | None
    until: date | None
    before: Position | None
    limit: int | None


def _numbers(history: History, **search: Unpack[_Search]) -> list[int]:
    """Return the numbers of the sample entries that are found."""
    return [_number(entry) for entry in history.find(**search)]


def _number(entry: HistoryEntry) -> int:
    return int(entry.sidecar.id[4:8], 16)

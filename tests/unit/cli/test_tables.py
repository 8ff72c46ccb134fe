"""Rows and columns are as wide as they look."""

import pytest
from rich.cells import cell_len

from imagen.cli.tables import (
    PAGE,
    Columns,
    cell_width,
    join_lines,
    paginate,
    shorten_ids,
    truncate,
)
from imagen.domain.printable import escape_control

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FOX = "\u72d0"  # two cells wide


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a cat", "a cat"),
        (f"{FOX} лиса Ω \u3000 \u00a0", f"{FOX} лиса Ω \u3000 \u00a0"),
        (FAMILY, FAMILY),
        ("\x1b[31m\x07\x9b", "\\x1b[31m\\x07\\x9b"),
        ("a\r\nb\tc\x7f", "a\\r\\nb\\tc\\x7f"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
        ("no utf-8: \udcff", "no utf-8: \\udcff"),
    ],
)
def test_what_would_move_the_cursor_is_shown_and_not_done(
    text: str, shown: str
) -> None:
    assert escape_control(text) == shown


def test_several_lines_become_one() -> None:
    assert join_lines(" a cat\n\tin a\u2028bowl\x1b ") == "a cat in a bowl\\x1b"


@pytest.mark.parametrize("text", ["a red fox in the snow", FOX * 20, FAMILY * 20])
@pytest.mark.parametrize("width", range(1, 24))
def test_what_is_cut_fits_and_says_so(text: str, width: int) -> None:
    short = truncate(text, width)

    assert cell_len(short) <= width
    assert short == text or short.endswith("…")


def test_what_fits_is_not_cut() -> None:
    assert truncate("a cat", 5) == "a cat"
    assert truncate("a cat", None) == "a cat"
    assert truncate("a cat", 0) == truncate("a cat", -3) == "…"


def test_columns_are_aligned_by_what_is_seen() -> None:
    rows = [(FOX * 2, "1", "x"), ("a\x1b", "100", ""), (FAMILY, "20", "yy")]

    lines = list(Columns(right={1}).lines(rows))

    assert lines == [
        f"  {FOX * 2}     1  x",
        "  a\\x1b  100",
        f"  {FAMILY}      20  yy",
    ]


def test_the_columns_of_a_later_page_are_no_narrower() -> None:
    columns = Columns()

    first = list(columns.lines([("wide", "1")]))
    second = list(columns.lines([("x", "2"), ("wider still", "3")]))
    third = list(columns.lines([("x", "4")]))

    assert first == ["  wide  1"]
    assert second == ["  x            2", "  wider still  3"]
    assert third == ["  x            4"]


def test_the_last_column_is_cut_to_the_width_but_never_to_nothing() -> None:
    rows = [("one", "a red fox in the snow")]

    assert list(Columns(width=20).lines(rows)) == ["  one  a red fox in…"]
    assert list(Columns(width=1).lines(rows)) == ["  one  a red fox i…"]
    assert list(Columns().lines(rows)) == ["  one  a red fox in the snow"]
    assert list(Columns(width=20).lines([])) == []


def test_pages_are_made_as_they_are_asked_for() -> None:
    asked: list[int] = []

    def endless() -> object:
        number = 0
        while True:
            asked.append(number)
            yield number
            number += 1

    first = next(paginate(endless()))  # type: ignore[call-overload]

    assert first == list(range(PAGE))
    assert len(asked) == PAGE


def test_an_id_is_as_short_as_it_can_be_among_the_others() -> None:
    one = "01a2055c-f0e1-7000-8000-000000000001"
    two = "01a2055c-f0e1-7001-8000-000000000002"
    three = "01a2055c-f0e2-7000-8000-000000000003"

    assert shorten_ids([one]) == {one: "01a2055c-f0e1"}
    assert shorten_ids([one, three, one]) == {
        one: "01a2055c-f0e1",
        three: "01a2055c-f0e2",
    }
    assert shorten_ids([three, two, one]) == {
        one: "01a2055c-f0e1-7000",
        two: "01a2055c-f0e1-7001",
        three: "01a2055c-f0e2",
    }
    assert shorten_ids([]) == {}


def test_width_is_in_cells() -> None:
    assert [cell_width(text) for text in ("", "abc", FOX * 3, FAMILY)] == [0, 3, 6, 2]

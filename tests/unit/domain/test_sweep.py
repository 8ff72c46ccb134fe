"""Words become axes, axes become combinations, and those a table."""

import pytest

from imagen.domain.errors import InvalidRequest
from imagen.domain.sweep import Axis, SweepGrid, parse_numbers, parse_words


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("7", (7,)),
        ("1..4", (1, 2, 3, 4)),
        ("1, 3,5..6", (1, 3, 5, 6)),
        ("10..50..20", (10, 30, 50)),
        ("10..49..20", (10, 30)),
        ("0", (0,)),
        ("18446744073709551615", (2**64 - 1,)),
    ],
)
def test_numbers_and_ranges(words: str, values: tuple[int, ...]) -> None:
    assert parse_numbers("seed", words).values == values


@pytest.mark.parametrize(
    "words",
    [
        "",
        "a",
        "1,",
        "1..",
        "..4",
        "4..1",
        "1..4..0",
        "-1",
        "1.5",
        "1...3",
        "1,1",
        "1..3,2",
        "0..99999999999999999999",
    ],
)
def test_other_numbers_are_refused(words: str) -> None:
    with pytest.raises(InvalidRequest, match="seed"):
        parse_numbers("seed", words)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a, b c", ("a", "b c")),
        ('"a,b",c', ('"a,b"', "c")),
        ("it's,so", ("it's", "so")),
    ],
)
def test_words_are_parted_by_commas(words: str, values: tuple[str, ...]) -> None:
    assert parse_words("backend", words).values == values


@pytest.mark.parametrize("words", ["", "a,", ",a", "a,,b", "a,a", " "])
def test_words_that_say_nothing_or_the_same_are_refused(words: str) -> None:
    with pytest.raises(InvalidRequest, match="backend"):
        parse_words("backend", words)


def axis(name: str, *values: object) -> Axis:
    return Axis(name=name, values=values)


def test_the_last_axis_varies_fastest_and_goes_across() -> None:
    sweep = SweepGrid.of(
        [axis("seed", 1, 2, 3), axis("backend", "a", "b"), axis("steps", 4, 8)]
    )

    cells = sweep.cells()
    assert [cell.number for cell in cells] == list(range(1, 13))
    assert cells[0].values == {"backend": "a", "steps": 4, "seed": 1}
    assert cells[1].values == {"backend": "a", "steps": 4, "seed": 2}
    table = sweep.table()
    assert table.columns == ("seed 1", "seed 2", "seed 3")
    assert table.rows == ("a · 4 steps", "a · 8 steps", "b · 4 steps", "b · 8 steps")


def test_what_does_not_vary_is_no_row() -> None:
    table = SweepGrid.of([axis("size", "64x64"), axis("set.guidance", 2, 3.5)]).table()

    assert (table.columns, table.rows) == (("guidance 2", "guidance 3.5"), ("",))


@pytest.mark.parametrize(
    ("images", "columns", "rows"), [(1, 1, 1), (8, 8, 1), (9, 5, 2), (20, 7, 3)]
)
def test_a_single_axis_goes_on_in_the_next_row(
    images: int, columns: int, rows: int
) -> None:
    sweep = SweepGrid.of([axis("seed", *range(1, images + 1))])

    table = sweep.table()

    assert (len(table.columns), len(table.rows)) == (columns, rows)


def test_nothing_varies_in_one_image() -> None:
    sweep = SweepGrid.of([])

    assert [cell.values for cell in sweep.cells()] == [{}]
    assert sweep.table().columns == ("",)


def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="1002 combinations"):
        SweepGrid.of([axis("seed", *range(501)), axis("steps", 4, 8)])
    with pytest.raises(InvalidRequest, match="1001 values"):
        parse_numbers("seed", "1..9999999999999")


def test_a_cell_says_which_it_is() -> None:
    sweep = SweepGrid.of([axis("set.mood", "grave"), axis("seed", 7), axis("steps", 0)])

    (cell,) = sweep.cells()

    assert cell.label == "mood grave · default steps · seed 7"
    assert cell.options == {"mood": "grave"}

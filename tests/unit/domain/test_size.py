import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import InvalidRequest
from imagen.domain.size import LARGEST_SIDE, SMALLEST_SIDE, Size, SizeRule

sides = st.integers(SMALLEST_SIDE, LARGEST_SIDE)
sizes = st.builds(Size, sides, sides)


@st.composite
def rules(draw: st.DrawFn) -> SizeRule:
    """A rule under which at least the smallest square can be made."""
    multiple = draw(st.sampled_from([1, 2, 8, 16, 32, 64]))
    lowest = draw(st.integers(SMALLEST_SIDE, 1024))
    lowest_in_grid = -(-lowest // multiple) * multiple
    largest = draw(st.integers(lowest_in_grid, LARGEST_SIDE))
    fewest = lowest_in_grid**2
    max_pixels = draw(st.none() | st.integers(fewest, max(fewest, largest**2)))
    most = max_pixels or (largest // multiple * multiple) ** 2
    return SizeRule(
        multiple=multiple,
        smallest=lowest,
        largest=largest,
        min_pixels=draw(st.integers(0, most // 3)),
        max_pixels=max_pixels,
        max_ratio=draw(st.none() | st.floats(1.5, 20)),
    )


@given(sizes)
def test_reads_what_it_writes(size: Size) -> None:
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize("written", ["1536x768", "1536X768", " 1536x768\n"])
def test_reads_the_usual_ways_of_writing(written: str) -> None:
    assert Size.parse(written) == Size(1536, 768)


@pytest.mark.parametrize(
    "written",
    [
        *("", "x", "1024", "1024x", "x1024", "-5x16", "1e3x64", "64x64x64", "64 x 64"),
        *("٦٤x٦٤", "1_024x64", "64.0x64", "1234567x64", "64\x00x64", "64\u00d764"),
    ],
)
def test_refuses_other_ways_of_writing(written: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid size") as refused:
        Size.parse(written)

    assert "1536x768" in refused.value.hint


@given(st.text())
def test_reading_anything_gives_a_size_or_a_sentence(written: str) -> None:
    try:
        size = Size.parse(written)
    except InvalidRequest as refused:
        assert refused.message.endswith(".")  # noqa: PT017 - either is fine
    else:
        assert "x" in str(size)


@pytest.mark.parametrize("side", [-1, 0, SMALLEST_SIDE - 1, LARGEST_SIDE + 1])
def test_refuses_sides_out_of_range(side: int) -> None:
    with pytest.raises(InvalidRequest, match="out of range"):
        Size(side, 512)
    with pytest.raises(InvalidRequest, match="out of range"):
        Size(512, side)


@pytest.mark.parametrize("side", [SMALLEST_SIDE, LARGEST_SIDE])
def test_takes_sides_at_the_limits(side: int) -> None:
    assert Size(side, side).sides == (side, side)


@given(rules(), sizes)
def test_the_nearest_can_always_be_made(rule: SizeRule, size: Size) -> None:
    assert rule.allows(rule.nearest(size))


@given(rules(), sizes)
def test_what_can_be_made_stays(rule: SizeRule, size: Size) -> None:
    nearest = rule.nearest(size)

    assert rule.nearest(nearest) == nearest


@given(sizes)
def test_without_a_rule_everything_stays(size: Size) -> None:
    assert SizeRule().nearest(size) == size


@given(st.lists(sizes, min_size=1), sizes)
def test_the_nearest_is_one_of_the_choices(choices: list[Size], size: Size) -> None:
    rule = SizeRule(choices=tuple(choices))

    assert rule.nearest(size) in choices
    assert rule.allows(size) == (size in choices)


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        (Size(1536, 768), Size(1536, 1024)),
        (Size(600, 800), Size(1024, 1536)),
        (Size(64, 64), Size(1024, 1024)),
        (Size(1024, 1024), Size(1024, 1024)),
    ],
)
def test_chooses_by_shape(asked: Size, nearest: Size) -> None:
    rule = SizeRule(choices=(Size(1024, 1024), Size(1536, 1024), Size(1024, 1536)))

    assert rule.nearest(asked) == nearest


def test_chooses_by_area_among_equal_shapes() -> None:
    rule = SizeRule(choices=(Size(512, 512), Size(1024, 1024), Size(2048, 2048)))

    assert rule.nearest(Size(900, 900)) == Size(1024, 1024)


def test_chooses_by_area_among_shapes_that_look_the_same() -> None:
    rule = SizeRule(choices=(Size(672, 384), Size(1360, 768), Size(1936, 1088)))

    assert rule.nearest(Size(512, 288)) == Size(672, 384)
    assert rule.nearest(Size(1920, 1080)) == Size(1936, 1088)


def test_snaps_to_the_grid() -> None:
    assert SizeRule(multiple=64).nearest(Size(1000, 700)) == Size(1024, 704)


def test_shrinks_what_is_too_large_in_its_shape() -> None:
    assert SizeRule(largest=1024).nearest(Size(2048, 1024)) == Size(1024, 512)


def test_shrinks_what_has_too_many_pixels_in_its_shape() -> None:
    rule = SizeRule(multiple=8, max_pixels=1024 * 1024)

    assert rule.nearest(Size(2048, 2048)) == Size(1024, 1024)


def test_grows_what_is_too_small_in_its_shape() -> None:
    rule = SizeRule(smallest=256, largest=2048, multiple=64)

    assert rule.nearest(Size(64, 128)) == Size(256, 512)


def test_grows_what_has_too_few_pixels_in_its_shape() -> None:
    rule = SizeRule(multiple=16, min_pixels=655_360)

    assert rule.nearest(Size(512, 256)) == Size(1152, 576)


def test_shortens_what_is_too_long() -> None:
    rule = SizeRule(multiple=16, max_ratio=3)

    assert rule.nearest(Size(2048, 512)) == Size(1776, 592)

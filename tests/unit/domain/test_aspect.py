"""An aspect ratio keeps the pixel count of the size that it replaces."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest, Unsupported
from imagen.domain.estimate import estimate_plan
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance
from imagen.domain.job import GenerationPlan
from imagen.domain.plan import plan_images
from imagen.domain.request import AspectRatio, GenerationRequest
from imagen.domain.sidecar import Change
from imagen.domain.size import Size, SizeRule
from imagen.domain.style import Style
from imagen.testing.fakes import ANYTHING

CHOICES = (Size(1024, 1024), Size(1344, 768), Size(768, 1344), Size(1536, 640))
WIDE = Style(name="wide", size=Size(1536, 768))


def plan(
    aspect: str,
    *,
    sizes: SizeRule | None = None,
    instance_size: Size | None = None,
    **fields: object,
) -> GenerationPlan:
    capabilities: Capabilities = ANYTHING
    if sizes is not None:
        capabilities = msgspec.structs.replace(ANYTHING, sizes=sizes)
    request = GenerationRequest(prompt="a cat", aspect=AspectRatio.parse(aspect))
    return plan_images(
        msgspec.structs.replace(request, **fields),
        instance=Instance(name="box", adapter="fake", size=instance_size),
        capabilities=capabilities,
        random_int=lambda bound: bound - 1,
        now=datetime(2026, 5, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("1:1", "1024x1024"),
        ("16:9", "1365x768"),
        ("9:16", "768x1365"),
        ("21:9", "1564x670"),
        ("3:2", "1254x836"),
        ("1.85:1", "1393x753"),
        (" 16:9 ", "1365x768"),
    ],
)
def test_the_default_size_gives_the_pixel_count(aspect: str, size: str) -> None:
    planned = plan(aspect)

    assert (str(planned.size), str(planned.jobs[0].size)) == (size, size)
    assert planned.parameter_report.applied["aspect"] == aspect.strip()
    assert planned.parameter_report.warnings() == ()
    assert estimate_plan(planned).requested_size == size


@pytest.mark.parametrize(
    ("fields", "instance_size", "size"),
    [
        ({"style": WIDE}, Size(512, 512), "1448x815"),
        ({}, Size(512, 512), "683x384"),
        ({"size": Size(256, 256), "style": WIDE}, Size(512, 512), "341x192"),
    ],
)
def test_request_then_style_then_instance_give_the_pixel_count(
    fields: dict[str, object], instance_size: Size, size: str
) -> None:
    assert str(plan("16:9", instance_size=instance_size, **fields).size) == size


@pytest.mark.parametrize(
    ("aspect", "sizes", "size"),
    [
        ("16:9", SizeRule(multiple=64), "1344x768"),
        ("21:9", SizeRule(multiple=64), "1536x640"),
        ("16:9", SizeRule(multiple=8, max_pixels=512 * 512), "680x384"),
        ("16:9", SizeRule(choices=CHOICES), "1344x768"),
        ("21:9", SizeRule(choices=CHOICES), "1536x640"),
        ("9:16", SizeRule(choices=CHOICES), "768x1344"),
    ],
)
def test_rounding_to_what_the_backend_makes_is_no_adjustment(
    aspect: str, sizes: SizeRule, size: str
) -> None:
    planned = plan(aspect, sizes=sizes, strict=True)

    assert (str(planned.size), str(planned.jobs[0].size)) == (size, size)
    assert planned.parameter_report.applied["size"] == size


def test_another_shape_is_an_adjustment() -> None:
    sizes = SizeRule(choices=CHOICES)

    report = plan("4:1", sizes=sizes).parameter_report

    assert report.adjusted == {
        "aspect": Change(
            requested="4:1",
            used="1536x640",
            reason="the nearest that box supports",
        )
    }
    with pytest.raises(Unsupported, match="aspect 4:1 becomes 1536x640"):
        plan("4:1", sizes=sizes, strict=True)


def test_fit_reaches_the_exact_shape() -> None:
    planned = plan("4:1", sizes=SizeRule(choices=CHOICES), fit=Fit.CROP)

    assert (str(planned.size), str(planned.jobs[0].size)) == ("2048x512", "1536x640")
    assert planned.parameter_report.warnings() == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "16",
        "0:1",
        "16:0",
        "0.0:1",
        ":",
        "16:9:4",
        "-16:9",
        "16x9",
        "a:b",
        "\u0661:1",
    ],
)
def test_a_ratio_is_two_numbers_above_0(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid aspect ratio") as raised:
        AspectRatio.parse(text)

    assert raised.value.hint == "Use WIDTH:HEIGHT, up to 99999 each, such as 16:9."


@pytest.mark.parametrize("aspect", ["5000:1", "1:5000", "99999:0.0001"])
def test_an_extreme_ratio_is_out_of_range(aspect: str) -> None:
    with pytest.raises(InvalidRequest, match="out of range") as raised:
        plan(aspect)

    assert raised.value.hint.endswith("such as 16:9.")


SIDES = st.integers(640, 2048)


@given(st.integers(1, 40), st.integers(1, 40), SIDES, SIDES)
def test_the_pixel_count_stays(
    width: int, height: int, image_width: int, image_height: int
) -> None:
    size = Size(image_width, image_height)

    shaped = AspectRatio(width, height).resize(size)

    pixels = size.width * size.height
    assert abs(shaped.width * shaped.height - pixels) <= sum(shaped.sides)
    assert shaped.ratio == pytest.approx(width / height, rel=0.05)

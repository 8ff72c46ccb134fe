"""Which previews of a job are sent."""

from datetime import UTC, datetime

import pytest

from imagen.domain.events import Previewed, Progressed
from imagen.server.http.schemas import ImageData
from imagen.server.http.sse import EventBuilder
from imagen.server.jobs.job import Output


def no_image(image: Output) -> ImageData:
    raise AssertionError(image)


@pytest.mark.parametrize(("most", "steps"), [(0, []), (1, [10]), (3, [5, 10, 15])])
def test_previews_are_spread_evenly_over_the_run(most: int, steps: list[int]) -> None:
    builder = EventBuilder(
        kind="image_generation",
        describe=no_image,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        partial=most,
    )

    sent = [
        step
        for step in range(1, 21)
        if builder.partial_image(
            Previewed(number=1, content=b"%d" % step, media_type="image/jpeg"),
            Progressed(number=1, fraction=step / 20, note="", steps=20),
        )
    ]

    assert sent == steps

import msgspec
import pytest

from imagen.domain import events
from imagen.domain.events import Event

ALL = [
    events.Planned(backend="mock", images=2),
    events.Continued(message="5 of 30 images are left."),
    events.Warned(message="steps is ignored"),
    events.Started(number=1),
    events.Accepted(number=1, reference="job-7"),
    events.Progressed(number=1, fraction=None, note="", steps=None),
    events.Retrying(number=1, code="throttled", message="Slowly.", wait=5),
    events.Previewed(number=1, content=b"a picture", media_type="image/jpeg"),
    events.PreviewFailed(reason="this is not inside a tmux session"),
    events.Stored(number=1, location="x.png"),
    events.Trashed(id="019a", location="/x.png"),
    events.StoredExtra(location="x-2.png"),
    events.Failed(number=2, code="refused", message="No."),
    events.Previewed(number=1, content=b"x", media_type="image/png"),
    events.PreviewFailed(reason="There is no tmux."),
    events.Delivered(channel="usage", count=5),
    events.Undelivered(channel="images", message="It is not reached."),
    events.Finished(),
]


def test_every_event_is_looked_at_here() -> None:
    assert {type(event) for event in ALL} == set(Event.__subclasses__())


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_says_in_json_which_it_is(event: Event) -> None:
    written = msgspec.json.decode(msgspec.json.encode(event))

    assert written["event"] == type(event).__name__


def test_nobody_has_to_listen() -> None:
    events.ignore_event(events.Finished())


def test_a_listener_that_fails_shakes_nobody() -> None:
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        raise OSError("nobody there")

    events.isolate_listener(hear)(events.Finished())

    assert heard == [events.Finished()]

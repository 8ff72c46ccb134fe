"""Progress in a notebook: few updates, and a correct final state."""

from imagen.adapters.display.notebook import (
    MIN_INTERVAL,
    Bundle,
    NotebookProgress,
    create_notebook_progress,
)
from imagen.adapters.system.clock import SystemClock
from imagen.domain import events


class Notebook:
    """A fake output and a clock that the test sets."""

    def __init__(self) -> None:
        self.shown: list[Bundle] = []
        self.at = 0.0

        class Clock(SystemClock):
            def monotonic(self) -> float:
                return notebook.at

        notebook = self
        self.progress = NotebookProgress(self.display, clock=Clock())

    def display(self, bundle: Bundle) -> "Notebook":
        self.shown.append(bundle)
        return self

    def update(self, obj: object, **how: object) -> None:
        assert how == {"raw": True}
        assert isinstance(obj, dict)
        self.shown.append(obj)

    def hear(self, *heard: events.Event, after: float = MIN_INTERVAL) -> None:
        for event in heard:
            self.at += after
            self.progress(event)

    @property
    def last(self) -> str:
        return self.shown[-1]["text/html"]


def planned(images: int = 2) -> events.Event:
    return events.Planned(backend="mock", images=images)


def progressed(fraction: float | None, number: int = 1) -> events.Event:
    return events.Progressed(
        number=number, fraction=fraction, note="painting", steps=20
    )


def test_nothing_is_shown_before_anything_is_planned() -> None:
    notebook = Notebook()

    notebook.progress.close()

    assert notebook.shown == []


def test_each_image_at_work_has_a_bar() -> None:
    notebook = Notebook()

    notebook.hear(planned(), events.Started(number=1), events.Started(number=2))
    notebook.hear(progressed(0.25), progressed(None, number=2))

    assert notebook.last.count("<progress") == 3
    assert 'value="0.25" max="1"' in notebook.last
    assert "image 1 · 5/20 steps" in notebook.last
    assert "image 2 · painting" in notebook.last
    assert "0 of 2 images" in notebook.last


def test_it_is_shown_anew_no_oftener_than_a_person_sees() -> None:
    notebook = Notebook()

    notebook.hear(planned(), events.Started(number=1))
    before = len(notebook.shown)
    notebook.hear(*[progressed(n / 1000) for n in range(1000)], after=0.001)

    assert before + 8 <= len(notebook.shown) <= before + 11


def test_at_the_end_it_says_what_became_of_it() -> None:
    notebook = Notebook()

    notebook.hear(planned(3), events.Started(number=1), after=0)
    notebook.hear(events.Stored(number=1, location="x.png"), after=0)
    notebook.hear(events.Failed(number=2, code="refused", message="no"), after=1.5)
    notebook.progress.close()
    notebook.hear(progressed(0.5))

    assert (
        notebook.shown[-1]["text/plain"] == "3 images · 1 failed · 1 not made · 1.5 s"
    )
    assert "<progress" not in notebook.last


def test_warnings_stay_and_are_no_markup() -> None:
    notebook = Notebook()

    notebook.hear(planned(1), *[events.Warned(message="<b>steps")] * 2)
    notebook.progress.close()

    assert notebook.last.count("warning: &lt;b&gt;steps") == 1
    assert notebook.shown[-1]["text/plain"].endswith("\nwarning: <b>steps")


def test_outside_a_notebook_there_is_none() -> None:
    assert create_notebook_progress() is None

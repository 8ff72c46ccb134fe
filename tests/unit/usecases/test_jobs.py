"""What is not over can be named, and given up."""

import pytest
from tests.unit.usecases.scenes import PaidScene, RecordingJournal, paid_images, taken

from imagen.domain.errors import InvalidRequest, Unfinished
from imagen.testing.fakes import ANYTHING
from imagen.usecases.jobs import OpenJobs


def jobs_of(scene: PaidScene) -> tuple[OpenJobs, RecordingJournal]:
    journal = scene.die()
    return OpenJobs(journal=journal), journal


def test_it_is_named_by_its_id_or_the_beginning_or_as_the_last() -> None:
    scene = PaidScene(Unfinished("Silence."))
    scene.run()
    jobs, _ = jobs_of(scene)
    (there,) = jobs.select()

    for name in (there.call.id, there.call.id[:8].upper(), "last"):
        assert jobs.select([name, name]) == (there,)
    for nonsense in ("nothing", ""):
        with pytest.raises(InvalidRequest, match="No open job"):
            jobs.select([nonsense])


def test_a_beginning_that_several_share_names_none() -> None:
    scene = PaidScene(*[Unfinished("Silence.")] * 2)
    scene.run(count=2)
    jobs, _ = jobs_of(scene)

    with pytest.raises(InvalidRequest, match="The ids of 2 open jobs begin with"):
        jobs.select(["0"])


def test_giving_up_is_a_row_of_unknown_cost() -> None:
    scene = PaidScene(Unfinished("Silence."))
    scene.run()
    jobs, journal = jobs_of(scene)

    assert jobs.forget(jobs.select()[0])
    assert scene.ledger == [("unknown", None)]
    assert journal.list_open() == ()


def test_giving_up_what_costs_nothing_is_no_row() -> None:
    scene = PaidScene(taken(Unfinished("Silence.")), can=ANYTHING)
    scene.run()
    jobs, journal = jobs_of(scene)

    assert jobs.forget(jobs.select()[0])
    assert scene.ledger == []
    assert journal.list_open() == ()


def test_what_somebody_works_on_is_not_given_up() -> None:
    given_up: list[bool] = []

    def answer(job: object, context: object) -> object:
        there = OpenJobs(journal=scene.journal.another())
        given_up.append(there.forget(there.select()[0]))
        return paid_images(job, context)  # type: ignore[arg-type]

    scene = PaidScene(answer)  # type: ignore[arg-type]
    scene.run()

    assert given_up == [False]
    assert scene.ledger == [("ok", 50_000)]

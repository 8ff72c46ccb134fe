"""What is not over can be named, and given up."""

import pytest
from tests.unit.usecases.scenes import PaidScene, paid_images, taken

from imagen.domain.errors import InvalidRequest, Unfinished
from imagen.testing.fakes import ANYTHING
from imagen.usecases.jobs import forget_job, select_jobs


def test_it_is_named_by_its_id_or_the_beginning_or_as_the_last() -> None:
    scene = PaidScene(Unfinished("Silence."))
    scene.run()
    journal = scene.die()
    (there,) = select_jobs(journal)

    for name in (there.call.id, there.call.id[:8].upper(), "last"):
        assert select_jobs(journal, [name, name]) == (there,)
    for nonsense in ("nothing", ""):
        with pytest.raises(InvalidRequest, match="No open job"):
            select_jobs(journal, [nonsense])


def test_a_beginning_that_several_share_names_none() -> None:
    scene = PaidScene(*[Unfinished("Silence.")] * 2)
    scene.run(count=2)
    journal = scene.die()

    with pytest.raises(InvalidRequest, match="The ids of 2 open jobs begin with"):
        select_jobs(journal, ["0"])


def test_giving_up_is_a_row_of_unknown_cost() -> None:
    scene = PaidScene(Unfinished("Silence."))
    scene.run()
    journal = scene.die()

    assert forget_job(journal, select_jobs(journal)[0])
    assert scene.ledger == [("unknown", None)]
    assert journal.list_open() == ()


def test_giving_up_what_costs_nothing_is_no_row() -> None:
    scene = PaidScene(taken(Unfinished("Silence.")), can=ANYTHING)
    scene.run()
    journal = scene.die()

    assert forget_job(journal, select_jobs(journal)[0])
    assert scene.ledger == []
    assert journal.list_open() == ()


def test_what_somebody_works_on_is_not_given_up() -> None:
    given_up: list[bool] = []

    def answer(job: object, context: object) -> object:
        journal = scene.journal.another()
        given_up.append(forget_job(journal, select_jobs(journal)[0]))
        return paid_images(job, context)  # type: ignore[arg-type]

    scene = PaidScene(answer)  # type: ignore[arg-type]
    scene.run()

    assert given_up == [False]
    assert scene.ledger == [("ok", 50_000)]

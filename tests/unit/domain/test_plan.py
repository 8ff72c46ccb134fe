from collections.abc import Mapping
from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Unsupported
from imagen.domain.estimate import estimate_plan
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance
from imagen.domain.job import GenerationPlan
from imagen.domain.plan import plan_images
from imagen.domain.request import GenerationRequest
from imagen.domain.shutdown import ModelShutdown
from imagen.domain.sidecar import Change
from imagen.domain.size import Size, SizeRule
from imagen.domain.style import Style
from imagen.testing.fakes import ANYTHING

PLAIN = Capabilities()
"""Understands words and a size, and nothing else."""

AT = datetime(2026, 5, 8, 14, 30, 15, tzinfo=UTC)


def planned(
    *,
    can: Capabilities = ANYTHING,
    instance: Mapping[str, object] | None = None,
    media_type: str | None = None,
    **asked: object,
) -> GenerationPlan:
    return plan_images(
        GenerationRequest(prompt="a cat", **asked),  # type: ignore[arg-type]
        instance=Instance(name="box", adapter="fake", **(instance or {})),  # type: ignore[arg-type]
        capabilities=can,
        random_int=lambda bound: bound - 1,
        now=AT,
        media_type=media_type,
    )


def able(**changes: object) -> Capabilities:
    return msgspec.structs.replace(ANYTHING, **changes)


STYLED = Style(
    name="s", size=Size(128, 128), steps=7, seed=8, options={"mood": "grave"}
)
INSTANCE = {"size": Size(256, 256), "steps": 9}


@pytest.mark.parametrize(
    ("asked", "instance", "size"),
    [
        ({"size": Size(64, 64), "style": STYLED}, INSTANCE, Size(64, 64)),
        ({"style": STYLED}, INSTANCE, Size(128, 128)),
        ({"style": Style(name="bare")}, INSTANCE, Size(256, 256)),
        ({}, INSTANCE, Size(256, 256)),
        ({}, {}, Size(1024, 1024)),
    ],
)
def test_flag_then_style_then_instance_then_default_for_the_size(
    asked: dict[str, object], instance: dict[str, object], size: Size
) -> None:
    assert planned(instance=instance, **asked).jobs[0].size == size


@pytest.mark.parametrize(
    ("asked", "instance", "steps"),
    [
        ({"steps": 5, "style": STYLED}, INSTANCE, 5),
        ({"style": STYLED}, INSTANCE, 7),
        ({"style": Style(name="bare")}, INSTANCE, 9),
        ({}, {}, None),
    ],
)
def test_flag_then_style_then_instance_then_default_for_the_steps(
    asked: dict[str, object], instance: dict[str, object], steps: int | None
) -> None:
    assert planned(instance=instance, **asked).jobs[0].steps == steps


@pytest.mark.parametrize(
    ("asked", "seed"),
    [({"seed": 5, "style": STYLED}, 5), ({"style": STYLED}, 8), ({}, 2**31 - 1)],
)
def test_flag_then_style_then_dice_for_the_seed(
    asked: dict[str, object], seed: int
) -> None:
    assert planned(**asked).jobs[0].seed == seed


def test_the_options_of_the_request_go_over_those_of_the_style() -> None:
    can = able(parameters=None)
    style = Style(name="s", options={"a": 1, "b": 1})

    job = planned(can=can, style=style, options={"b": 2, "c": 2}).jobs[0]

    assert job.options == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("asked", "instance", "timeout"),
    [({"timeout": 5}, {"timeout": 7}, 5), ({}, {"timeout": 7}, 7), ({}, {}, 600)],
)
def test_flag_then_instance_then_default_for_the_timeout(
    asked: dict[str, object], instance: dict[str, object], timeout: float
) -> None:
    assert planned(instance=instance, **asked).jobs[0].timeout == timeout


def test_the_model_has_a_timeout_of_its_own() -> None:
    slow = able(timeout=900)

    assert planned(can=slow).jobs[0].timeout == 900
    assert planned(can=slow, instance={"timeout": 7}).jobs[0].timeout == 7


def test_joins_the_words_of_the_style() -> None:
    style = Style(name="s", prompt="{prompt}, wide", negative="text")

    job = planned(style=style, negative="dogs").jobs[0]

    assert (job.prompt, job.negative) == ("a cat, wide", "text, dogs")


def test_says_what_is_applied() -> None:
    honesty = planned(
        size=Size(64, 64), seed=5, steps=6, negative="x", options={"mood": "grave"}
    ).parameter_report

    assert honesty.applied == {
        "mood": "grave",
        "negative": "x",
        "size": "64x64",
        "steps": 6,
        "seed": 5,
    }
    assert (honesty.ignored, honesty.adjusted, honesty.warnings()) == ({}, {}, ())


def test_says_what_is_ignored() -> None:
    plan = planned(can=PLAIN, seed=5, steps=6, negative="x")

    assert plan.parameter_report.ignored.keys() == {"seed", "steps", "negative"}
    assert all(
        why.startswith("box takes no ")
        for why in plan.parameter_report.ignored.values()
    )
    assert len(plan.parameter_report.warnings()) == 3
    job = plan.jobs[0]
    assert (job.seed, job.steps, job.negative) == (None, None, "")


def test_ignores_nothing_that_nobody_asked_for() -> None:
    assert planned(can=PLAIN).parameter_report.ignored == {}


def test_says_what_is_adjusted() -> None:
    can = able(sizes=SizeRule(multiple=64), largest_seed=100)

    plan = planned(can=can, size=Size(100, 100), seed=205)

    assert plan.parameter_report.adjusted == {
        "size": Change(
            requested="100x100",
            used="128x128",
            reason="the nearest that box supports",
        ),
        "seed": Change(requested=205, used=5, reason="box takes seeds up to 100"),
    }
    assert "size 100x100 becomes 128x128" in plan.parameter_report.warnings()[0]
    assert "seed 205 becomes 5" in plan.parameter_report.warnings()[1]
    assert (plan.jobs[0].size, plan.jobs[0].seed) == (Size(128, 128), 5)
    assert plan.size == Size(100, 100)


def test_without_a_size_that_of_the_workflow_is_used() -> None:
    own = Size(1080, 1352)
    can = able(sizes=SizeRule(multiple=64, default=own))

    assert planned(can=can, size=None).jobs[0].size == own
    assert planned(can=can, size=own).parameter_report.adjusted == {}
    assert planned(can=can, size=Size(128, 64)).jobs[0].size == Size(128, 64)


@pytest.mark.parametrize(
    "asked", [{"steps": 6}, {"seed": 5}, {"negative": "x"}, {"size": Size(1000, 1000)}]
)
def test_strict_refuses_what_would_be_ignored_or_adjusted(
    asked: dict[str, object],
) -> None:
    can = Capabilities(sizes=SizeRule(multiple=64))

    with pytest.raises(Unsupported, match=next(iter(asked))) as refused:
        planned(can=can, strict=True, **asked)

    assert "--strict" in refused.value.hint


def test_strict_takes_what_is_sent_as_asked() -> None:
    assert planned(strict=True, seed=5, steps=6, size=Size(64, 64)).jobs


def test_fit_reaches_the_size_so_nothing_is_adjusted() -> None:
    can = able(sizes=SizeRule(multiple=64))

    plan = planned(can=can, size=Size(100, 100), fit=Fit.CROP, strict=True)

    assert plan.parameter_report.applied["size"] == "100x100"
    assert plan.parameter_report.applied["fit"] == "crop"
    assert plan.jobs[0].size == Size(128, 128)


@pytest.mark.parametrize(
    ("fit", "size", "fits"),
    [
        (Fit.CROP, Size(128, 64), True),
        (Fit.CROP, Size(129, 64), False),
        (Fit.PAD, Size(129, 64), True),
        (Fit.PAD, Size(129, 129), False),
        (Fit.RESIZE, Size(32, 130), False),
    ],
)
def test_fit_does_not_enlarge_more_than_twice_unless_it_may(
    fit: Fit, size: Size, fits: bool
) -> None:
    can = able(sizes=SizeRule(choices=(Size(64, 64),)))

    report = planned(can=can, size=size, fit=fit).parameter_report

    assert ("fit" in report.applied) == ("size" in report.applied) == fits
    assert ("fit" in report.ignored) == ("size" in report.adjusted) == (not fits)
    allowed = planned(can=can, size=size, fit=fit, fit_upscale=True, strict=True)
    assert allowed.parameter_report.applied["fit_upscale"] is True
    if not fits:
        with pytest.raises(Unsupported, match="more than 2 times"):
            planned(can=can, size=size, fit=fit, strict=True)


@pytest.mark.parametrize("largest_batch", [1, 4])
def test_seeds_follow_on_one_call_per_image(largest_batch: int) -> None:
    jobs = planned(can=able(largest_batch=largest_batch), seed=5, count=3).jobs

    assert [(job.number, job.count, job.seed) for job in jobs] == [
        (1, 1, 5),
        (2, 1, 6),
        (3, 1, 7),
    ]


@pytest.mark.parametrize("can", [able(default_batch=4), Capabilities(default_batch=4)])
@pytest.mark.parametrize(("count", "jobs"), [(None, [4]), (1, [1]), (2, [1, 1])])
def test_a_batch_of_the_workflow_is_kept_if_no_number_is_requested(
    can: Capabilities, count: int | None, jobs: list[int]
) -> None:
    can = msgspec.structs.replace(can, largest_batch=4 if count is None else 1)
    plan = planned(can=can, count=count)

    assert [job.count for job in plan.jobs] == jobs
    assert plan.count == sum(jobs)
    assert plan.parameter_report.applied.get("count") == count


def test_seeds_wrap_at_the_limit_of_the_backend() -> None:
    jobs = planned(can=able(largest_seed=100), seed=99, count=3).jobs

    assert [job.seed for job in jobs] == [99, 100, 1]


def test_without_seeds_the_backend_makes_batches() -> None:
    jobs = planned(can=Capabilities(largest_batch=4), count=10).jobs

    assert [(job.number, job.count) for job in jobs] == [(1, 4), (5, 4), (9, 2)]


@given(st.integers(1, 1000), st.integers(0, 50))
def test_every_image_is_in_one_batch(count: int, largest: int) -> None:
    jobs = planned(can=Capabilities(largest_batch=largest), count=count).jobs

    numbers = [n for job in jobs for n in range(job.number, job.number + job.count)]
    assert numbers == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("can", "hint"),
    [
        (able(), "Use plain, fancy."),
        (Capabilities(model="only"), "Use only."),
        (Capabilities(), "Leave the model out."),
    ],
)
def test_refuses_an_unknown_model(can: Capabilities, hint: str) -> None:
    with pytest.raises(Unsupported, match="box has no model 'odd'") as refused:
        planned(can=can, model="odd")

    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("can", "asked", "model"),
    [
        (able(), None, "plain"),
        (able(), "fancy", "fancy"),
        (able(models=None), "anything/at-all", "anything/at-all"),
    ],
)
def test_sends_the_model(can: Capabilities, asked: str | None, model: str) -> None:
    plan = planned(can=can, model=asked)

    assert plan.jobs[0].model == model
    assert plan.parameter_report.applied.get("model") == asked


@pytest.mark.parametrize(
    ("can", "name", "hint"),
    [
        (able(), "moood", "Did you mean mood?"),
        (able(), "zzz", "Its parameters: mood."),
        (PLAIN, "zzz", "Its parameters: none."),
    ],
)
def test_refuses_an_unknown_parameter(can: Capabilities, name: str, hint: str) -> None:
    with pytest.raises(Unsupported, match=f"box has no parameter '{name}'") as refused:
        planned(can=can, options={name: 1})

    assert refused.value.hint == hint


def test_passes_any_parameter_on_where_none_are_known() -> None:
    plan = planned(can=able(parameters=None), options={"guidance": 3.5})

    assert plan.jobs[0].options == {"guidance": 3.5}
    assert plan.parameter_report.applied["guidance"] == 3.5


def test_tells_a_flag_from_a_parameter_of_the_same_name() -> None:
    plan = planned(can=able(parameters=None), seed=5, options={"seed": 6})

    assert plan.parameter_report.applied["seed"] == 5
    assert plan.parameter_report.applied["set.seed"] == 6


@pytest.mark.parametrize(
    ("wanted", "asked_for"),
    [("image/png", "image/png"), ("image/webp", None), (None, None)],
)
def test_asks_for_a_format_only_where_the_backend_has_it(
    wanted: str | None, asked_for: str | None
) -> None:
    assert planned(media_type=wanted).jobs[0].media_type == asked_for


def test_estimates_what_would_be_sent() -> None:
    style = Style(name="s", prompt="{prompt}, wide")
    can = able(sizes=SizeRule(multiple=64))

    estimate = estimate_plan(
        planned(can=can, style=style, seed=5, count=3, size=Size(100, 100), steps=4)
    )

    assert (estimate.backend, estimate.adapter, estimate.model) == (
        "box",
        "fake",
        "plain",
    )
    assert (estimate.images, estimate.calls, estimate.seeds) == (3, 3, (5, 6, 7))
    assert (estimate.size, estimate.requested_size) == ("128x128", "100x100")
    assert (estimate.prompt_sent, estimate.steps) == ("a cat, wide", 4)
    assert estimate.adjusted.keys() == {"size"}


def test_estimates_batches_without_seeds() -> None:
    estimate = estimate_plan(planned(can=Capabilities(largest_batch=4), count=6))

    assert (estimate.images, estimate.calls, estimate.seeds) == (6, 2, ())


@pytest.mark.parametrize(("may_cost", "usd"), [(True, None), (False, 0.0)])
def test_estimates_an_unknown_cost_as_none(may_cost: bool, usd: float | None) -> None:
    assert estimate_plan(planned(can=able(may_cost=may_cost))).cost_usd == usd


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("image/svg+xml", "returns SVG images"),
        ("video/mp4", "returns video/mp4 files"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_model_that_returns_no_common_image_is_a_note(
    kind: str, words: str, strict: bool
) -> None:
    plan = planned(can=able(output_type=kind), strict=strict)

    [note] = plan.parameter_report.warnings()
    assert words in note
    assert estimate_plan(plan).notes == (note,)


@pytest.mark.parametrize(
    ("day", "note"),
    [
        (date(2026, 5, 8), "old was shut down on 2026-05-08; use new"),
        (date(2026, 7, 7), "old will be shut down on 2026-07-07; use new"),
        (date(2026, 7, 8), None),
    ],
)
def test_a_model_that_ends_within_sixty_days_is_a_note(
    day: date, note: str | None
) -> None:
    end = ModelShutdown(provider="shop", model="old", day=day, successor="new")

    plan = plan_images(
        GenerationRequest(prompt="a cat", strict=True),
        instance=Instance(name="box", adapter="fake"),
        capabilities=able(model="old", provider="shop"),
        random_int=lambda bound: bound - 1,
        now=AT,
        shutdown_of=lambda *names: end if end.applies_to(*names) else None,
    )

    assert plan.parameter_report.notes == (() if note is None else (note,))

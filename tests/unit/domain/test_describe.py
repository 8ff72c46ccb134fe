from datetime import datetime, timedelta, timezone
from hashlib import sha256

import msgspec

from imagen.domain.call import Call, Received
from imagen.domain.capabilities import Capabilities
from imagen.domain.describe import build_sidecar
from imagen.domain.instance import Instance
from imagen.domain.money.cost import Cost
from imagen.domain.plan import plan_images
from imagen.domain.request import GenerationRequest
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.size import Size, SizeRule
from imagen.domain.style import Style
from imagen.formats.container import ImageFacts
from imagen.testing.fakes import ANYTHING

AT = datetime(2026, 5, 8, 14, 30, 15, 123_456, tzinfo=timezone(timedelta(hours=2)))


def described(
    *,
    can: Capabilities = ANYTHING,
    number: int = 1,
    seed: int | None = None,
    came: Size | None = None,
    model: str = "",
    steps: int | None = None,
    reported: dict[str, object] | None = None,
    notes: tuple[str, ...] = (),
    **asked: object,
) -> Sidecar:
    """The note of an image whose answer reports these things."""
    request = {"prompt": "a cat", "size": Size(64, 64), "seed": 7, **asked}
    plan = plan_images(
        GenerationRequest(**request),  # type: ignore[arg-type]
        instance=Instance(name="box", adapter="fake"),
        capabilities=can,
        random_int=lambda _: 0,
        now=AT,
    )
    image = GeneratedImage(content=b"bytes", media_type="image/png", seed=seed)
    size = came or plan.jobs[0].size
    generated = Generated(
        images=(image,), model=model, steps=steps, parameters=reported or {}
    )
    return build_sidecar(
        Call(
            id="0197",
            created_at=AT,
            plan=msgspec.structs.replace(plan, jobs=plan.jobs[number - 1 : number]),
            image_ids=("0198",),
            caller="me",
            may_cost=False,
        ),
        Received(generated=generated, at=AT, latency_ms=12),
        image,
        position=0,
        facts=ImageFacts(media_type="image/png", width=size.width, height=size.height),
        cost=Cost(micros=1_500_000, source="metered"),
        version="1.0",
        notes=notes,
    )


def able(**changes: object) -> Capabilities:
    return msgspec.structs.replace(ANYTHING, **changes)


def test_says_when_in_utc_to_the_millisecond() -> None:
    assert described().created_at == "2026-05-08T12:30:15.123Z"


def test_hashes_the_prompt_as_given() -> None:
    style = Style(name="s", prompt="{prompt}, wide")

    note = described(prompt="猫", style=style)

    assert note.prompt_sha256 == sha256("猫".encode()).hexdigest()
    assert (note.prompt, note.prompt_sent, note.style) == ("猫", "猫, wide", "s")


def test_hashes_the_bytes_as_they_came() -> None:
    assert described().source_sha256 == sha256(b"bytes").hexdigest()


def test_says_what_it_cost_and_who_asked() -> None:
    note = described()

    assert (note.cost_usd, note.cost_source) == (1.5, "metered")
    assert (note.caller, note.latency_ms, note.id) == ("me", 12, "0198")


def test_has_the_seed_of_its_own_call() -> None:
    note = described(number=2, count=2)

    assert note.seed == 8
    assert note.applied["seed"] == 8


def test_warns_of_nothing_when_all_is_as_asked() -> None:
    note = described(seed=7)

    assert (note.warnings, note.adjusted, note.ignored) == ((), {}, {})
    assert note.applied == {"size": "64x64", "seed": 7}


def test_records_another_seed_than_was_asked_for() -> None:
    note = described(seed=9)

    assert note.seed == 9
    assert (note.adjusted["seed"].requested, note.adjusted["seed"].used) == (7, 9)
    assert "seed" not in note.applied
    assert note.warnings[0].startswith("seed 7 becomes 9: box ")


def test_records_a_seed_that_was_reported_unasked() -> None:
    note = described(can=Capabilities(), seed=9, prompt="a cat")

    assert note.seed == 9
    assert "seed" not in note.adjusted


def test_records_no_seed_where_there_is_none() -> None:
    assert described(can=Capabilities()).seed is None


def test_records_another_size_than_was_asked_for() -> None:
    note = described(came=Size(128, 64))

    assert (note.width, note.height, note.requested_size) == (128, 64, "64x64")
    assert note.adjusted["size"].used == "128x64"
    assert "size" not in note.applied
    assert note.warnings[0].startswith("size 64x64 becomes 128x64: box ")


def test_does_not_repeat_what_was_planned() -> None:
    can = able(sizes=SizeRule(multiple=64))

    note = described(can=can, size=Size(100, 100))

    assert note.adjusted["size"].used == "128x128"
    assert len(note.warnings) == 1


def test_records_the_size_that_came_rather_than_the_planned_one() -> None:
    can = able(sizes=SizeRule(multiple=64))

    note = described(can=can, size=Size(100, 100), came=Size(96, 96))

    assert note.adjusted["size"].used == "96x96"


def test_a_size_that_came_as_asked_after_all_is_applied() -> None:
    can = able(sizes=SizeRule(multiple=64))

    note = described(can=can, size=Size(100, 100), came=Size(100, 100))

    assert note.applied.get("size") == "100x100"
    assert (note.adjusted, note.warnings) == ({}, ())


def test_no_parameter_is_both_applied_and_adjusted() -> None:
    note = described(can=able(largest_seed=5))

    assert not note.applied.keys() & note.adjusted.keys()


def test_the_adjusted_seed_is_that_of_the_image() -> None:
    note = described(can=able(largest_seed=5), number=2, count=2)

    assert note.seed == note.adjusted["seed"].used == 3


def test_records_what_was_ignored() -> None:
    note = described(can=Capabilities(), steps=None, negative="dogs")

    assert note.ignored.keys() == {"negative", "seed"}
    assert len(note.warnings) == 2


def test_an_ignored_negative_can_still_be_read() -> None:
    note = described(can=Capabilities(), negative="dogs")

    assert b"dogs" in msgspec.json.encode(note)


def test_prefers_the_model_that_was_used() -> None:
    assert described().model == "plain"
    assert described(model="plain-1.2").model == "plain-1.2"


def test_records_the_steps_of_the_backend_where_none_were_asked_for() -> None:
    assert described(steps=28).steps == 28


def test_has_options_and_what_the_backend_reports() -> None:
    note = described(options={"mood": "grave"}, reported={"sampler": "euler"})

    assert note.parameters == {"mood": "grave", "sampler": "euler"}


def test_notes_become_warnings() -> None:
    assert described(notes=("converted",)).warnings == ("converted",)


def test_says_which_imagen_made_it() -> None:
    assert described().imagen_version == "1.0"

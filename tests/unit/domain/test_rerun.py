"""What is carried over when an image is made again, and what is said to be lost."""

from collections.abc import Mapping

import msgspec
import pytest
from tests.unit.domain.notes import noted
from tests.unit.domain.written import GRAPH, INFOTEXT, png

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.request import GenerationRequest
from imagen.domain.rerun import (
    Provenance,
    build_rerun_request,
    choose_backend,
    provenance_from_file,
    provenance_from_sidecar,
)
from imagen.domain.sidecar import Change, Reference
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.testing.fakes import ANYTHING, tiny_png

BOX = Instance(name="box", adapter="comfyui")
OTHER = Instance(name="other", adapter="replicate")
ORIGIN = Provenance(
    source="imagen",
    backend="box",
    adapter="comfyui",
    prompt="a cat",
    size=Size(64, 64),
    seed=42,
    model="plain",
)


def origin(**changes: object) -> Provenance:
    return msgspec.structs.replace(ORIGIN, **changes)


def again(
    made: Provenance = ORIGIN,
    *,
    instance: Instance = BOX,
    can: Capabilities = ANYTHING,
    styles: Mapping[str, Style] = {},
    **wishes: object,
) -> GenerationRequest:
    return build_rerun_request(
        made,
        wishes,
        instance=instance,
        capabilities_of=lambda _: can,
        styles=styles,
    )


def able(**changes: object) -> Capabilities:
    return msgspec.structs.replace(ANYTHING, **changes)


def test_a_note_has_what_was_asked_for_and_not_what_became_of_it() -> None:
    made = provenance_from_sidecar(
        noted(
            requested_size="65x65",
            steps=20,
            parameters={"guidance": 3.5, "files": ["a.png"]},
            applied={
                "guidance": 3.5,
                "set.size": "big",
                "fit": "crop",
                "model": "flux",
                "images": ["a.png"],
                "mask": "m.png",
            },
            adjusted={"steps": Change(requested=30, used=20, reason="so")},
            references=(
                Reference(name="a.png", sha256="33"),
                Reference(name="m.png", sha256="44"),
            ),
        )
    )

    assert made.options == {"guidance": 3.5, "size": "big"}
    assert (made.size, made.fit, made.steps) == (Size(65, 65), Fit.CROP, 30)
    assert made.model_requested
    assert [each.name for each in made.references] == ["a.png"]
    assert made.mask == Reference(name="m.png", sha256="44")


@pytest.mark.parametrize(
    "wrong", [{"requested_size": "huge"}, {"applied": {"fit": "x"}}]
)
def test_a_note_that_makes_no_sense_is_refused(wrong: Mapping[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="has an invalid value"):
        provenance_from_sidecar(noted(**wrong))


@pytest.mark.parametrize(("applied", "count"), [({}, None), ({"count": 4}, 1)])
def test_an_image_that_a_run_made_alone_is_made_alone_again(
    applied: dict[str, object], count: int | None
) -> None:
    made = provenance_from_sidecar(noted(applied=applied))

    assert again(made).count == count
    assert again(made, count=2).count == 2


def test_a_style_that_has_had_its_say_has_it_once() -> None:
    made = provenance_from_sidecar(
        noted(prompt="a cat", prompt_sent="a cat, wide", style="s")
    )

    request = again(made)

    assert (request.prompt, request.prompt_sent) == ("a cat", "a cat, wide")
    assert request.style == Style(name="s")
    assert request.negative == "dogs"


def test_what_another_tool_says_is_a_request_too() -> None:
    making = read_embedded_metadata(
        png(parameters=INFOTEXT.replace("18446744073709551615", "7"))
    )

    made = provenance_from_file(making)

    assert made is not None
    assert (made.source, made.adapter, made.model) == (
        "AUTOMATIC1111",
        "automatic1111",
        "sd: 1",
    )
    assert (made.seed, made.steps, made.size) == (7, 20, Size(512, 768))
    assert made.negative == "blurry"
    request = again(made, instance=OTHER)
    (note,) = request.dropped.notes
    assert note.startswith(
        "other parameters of AUTOMATIC1111 are not used: sampler Euler a, guidance 7"
    )
    assert "hash" not in note.lower()


def test_a_graph_of_comfyui_is_for_a_backend_of_comfyui() -> None:
    made = provenance_from_file(read_embedded_metadata(png(prompt=GRAPH)))

    assert made is not None
    instances = {"m": Instance(name="m", adapter="mock"), "box": BOX}
    assert choose_backend(made, instances, default="m") == ("box", None)


def test_a_file_that_says_nothing_is_none() -> None:
    assert provenance_from_file(read_embedded_metadata(tiny_png())) is None


@pytest.mark.parametrize(
    ("there", "used", "reason"),
    [
        ({"box": "comfyui", "b": "comfyui"}, "box", None),
        (
            {"b": "comfyui", "c": "comfyui"},
            "b",
            "the config has no backend 'box'; b uses comfyui too",
        ),
        ({"d": "mock", "b": "comfyui"}, "b", "the config has no backend 'box'; b uses"),
        ({"d": "mock"}, "d", "the config has no backend 'box'"),
        ({"box": "mock", "d": "mock"}, "d", "box no longer uses comfyui"),
    ],
)
def test_another_backend_takes_the_place_of_one_that_is_gone(
    there: dict[str, str], used: str, reason: str | None
) -> None:
    instances = {
        name: Instance(name=name, adapter=kind) for name, kind in there.items()
    }

    chosen, change = choose_backend(ORIGIN, instances, default="d")

    assert chosen == used
    if reason is None:
        assert change is None
    else:
        assert change is not None
        assert (change.requested, change.used) == ("box", used)
        assert change.reason.startswith(reason)


def test_without_a_default_no_other_adapter_takes_its_place() -> None:
    names = ("a", "mock")
    instances = {name: Instance(name=name, adapter="mock") for name in names}

    with pytest.raises(InvalidRequest, match=r"default_backend: a, mock\."):
        choose_backend(ORIGIN, instances, default=None)
    assert choose_backend(ORIGIN, {**instances, "b": BOX}, default=None)[0] == "b"


GRIM = Style(name="grim", prompt="grim, {prompt}, {prompt}", negative="joy")


@pytest.mark.parametrize(
    ("made", "styles", "sent", "ignored"),
    [
        (origin(), {}, "", set[str]()),
        (
            origin(style="grim", prompt_sent="grim, a cat, a cat"),
            {"grim": GRIM},
            "grim, a dog, a dog",
            set[str](),
        ),
        (
            origin(style="grim", prompt_sent="as it was, a cat"),
            {"grim": GRIM},
            "as it was, a dog",
            set[str](),
        ),
        (
            origin(style="gone", prompt_sent="a cat, a cat"),
            {"grim": GRIM},
            "",
            {"style"},
        ),
    ],
)
def test_another_prompt_keeps_the_style_as_it_was_applied(
    made: Provenance, styles: dict[str, Style], sent: str, ignored: set[str]
) -> None:
    request = again(made, styles=styles, prompt="a dog")

    assert (request.prompt, request.prompt_sent) == ("a dog", sent)
    assert request.dropped.ignored.keys() == ignored
    assert (request.style is None) == (made.style is None or bool(ignored))


@pytest.mark.parametrize(
    ("negative", "kept", "notes"),
    [("joy, dogs", "dogs", 0), ("joy", "", 0), ("joyful", "joyful", 1), ("", "", 0)],
)
def test_another_style_replaces_prompt_and_negative_of_the_old_one(
    negative: str, kept: str, notes: int
) -> None:
    made = origin(style="grim", prompt_sent="grim, a cat", negative=negative)
    bright = Style(name="bright", prompt="bright {prompt}", negative="fog")

    request = again(made, styles={"grim": GRIM}, style=bright)

    assert (request.prompt, request.prompt_sent) == ("a cat", "")
    assert (request.style, request.negative) == (bright, kept)
    assert len(request.dropped.notes) == notes


def test_another_negative_prompt_takes_the_place_of_the_old_one() -> None:
    made = origin(style="grim", prompt_sent="grim, a cat", negative="joy, dogs")

    request = again(made, styles={"grim": GRIM}, negative="fog")

    assert (request.negative, request.prompt_sent) == ("fog", "grim, a cat")
    assert request.style == Style(name="grim")


def test_on_the_same_backend_nothing_is_lost() -> None:
    made = origin(default_steps=20, options={"mood": "grave"}, negative="dogs")

    request = again(made)

    assert (request.seed, request.steps, request.size) == (42, 20, Size(64, 64))
    assert request.options == {"mood": "grave"}
    assert request.model is None
    assert request.dropped.notes == ()
    assert (request.dropped.ignored, request.dropped.adjusted) == ({}, {})


def test_steps_that_nobody_asked_for_do_not_go_to_another_backend() -> None:
    assert again(origin(default_steps=20), instance=OTHER).steps == 0
    assert again(origin(steps=9), instance=OTHER).steps == 9


def test_steps_that_nobody_asked_for_do_not_go_to_a_backend_without_them() -> None:
    assert again(origin(default_steps=20), can=able(steps=False)).steps == 0


def test_a_parameter_that_the_backend_does_not_know_is_left_out_and_said() -> None:
    made = origin(options={"mood": "grave", "delay": 1})

    request = again(made, instance=OTHER)

    assert request.options == {"mood": "grave"}
    assert request.dropped.ignored == {"delay": "other has no such parameter"}


def test_of_a_stranger_nobody_knows_which_parameters_it_has() -> None:
    made = origin(options={"mood": "grave"})

    assert again(made, instance=OTHER, can=able(parameters=None)).options == {}
    assert again(made, can=able(parameters=None)).options == {"mood": "grave"}


@pytest.mark.parametrize(
    ("instance", "models", "asked"),
    [
        (BOX, None, "flux"),
        (BOX, ("plain", "flux"), "flux"),
        (BOX, (), None),
        (OTHER, None, None),
        (OTHER, ("flux",), "flux"),
    ],
)
def test_a_model_is_asked_for_where_it_is_known(
    instance: Instance, models: tuple[str, ...] | None, asked: str | None
) -> None:
    request = again(origin(model="flux"), instance=instance, can=able(models=models))

    assert request.model == asked
    assert ("model" in request.dropped.adjusted) == (asked is None)


def test_a_model_that_is_reported_without_its_version_is_the_same() -> None:
    can = able(model="me/flux:1a2b", models=None)

    assert again(origin(model="me/flux"), can=can).model is None
    asked = again(origin(model="me/flux", model_requested=True), can=can)
    assert asked.model == "me/flux"


@pytest.mark.parametrize(
    ("seed", "said"), [(None, "is unknown"), (0, "is 0, which means a random one")]
)
def test_a_seed_that_cannot_be_had_again_is_said(seed: int | None, said: str) -> None:
    (note,) = again(origin(seed=seed)).dropped.notes

    assert said in note
    assert again(origin(seed=seed), seed=0).dropped.notes == ()
    assert again(origin(seed=seed), can=able(largest_seed=None)).dropped.notes == ()


def test_wishes_go_before_what_was() -> None:
    made = origin(steps=20, options={"mood": "grave"}, fit=Fit.PAD)

    request = again(
        made,
        seed=7,
        steps=0,
        size=Size(32, 32),
        model="fancy",
        options={"mood": "cheerful"},
        fit=Fit.CROP,
        count=3,
    )

    assert (request.seed, request.steps, request.size) == (7, 0, Size(32, 32))
    assert (request.model, request.fit, request.count) == ("fancy", Fit.CROP, 3)
    assert request.options == {"mood": "cheerful"}

from typing import Any

import msgspec
import pytest

from imagen.adapters.backends.replicate.adapter import adapter
from imagen.domain.errors import InvalidRequest, Unauthorized
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend
from imagen.testing.fakes import FakeClock, RecordingContext

JOB = ImageJob(number=1, prompt="a cat", size=Size(1024, 1024), timeout=60)


def build(secrets: Secrets | None = None, **options: Any) -> ImageBackend:
    return adapter.create(
        msgspec.convert(options, adapter.options),
        BackendContext(
            name="replicate", clock=FakeClock(), secrets=secrets or Secrets()
        ),
    )


def test_draws_with_flux_schnell_unless_told_otherwise() -> None:
    can = build().capabilities()

    assert can.model == "black-forest-labs/flux-schnell"
    assert can.models is None
    assert can.may_cost
    assert can.provider == "replicate"
    assert Size(1344, 768) in can.sizes.choices


def test_a_deployment_leaves_no_choice_of_models() -> None:
    can = build(deployment="ada/mine").capabilities()

    assert can.model == "ada/mine"
    assert can.models == ()


@pytest.mark.parametrize(
    "options",
    [
        {"model": "flux"},
        {"model": "a/b/c"},
        {"model": "../etc"},
        {"model": "a/b:1"},
        {"model": "https://replicate.com/a/b"},
        {"deployment": "mine"},
        {"wait": 61},
        {"wait": -1},
        {"api_token_env": ""},
        {"base_url": "ftp://x"},
        {"base_url": "https://me:word@x"},
        {"api_token": "r8_x"},
        {"input": [1]},
    ],
    ids=str,
)
def test_refuses_invalid_options(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        build(**options)


def test_shows_no_secret() -> None:
    backend = build(Secrets({"api_token_env": "canary-1"}))

    assert repr(backend) == "<backend for Replicate>"
    assert "canary-1" not in repr(vars(backend)["_vendor"])


def test_names_the_variable_that_is_not_set() -> None:
    with pytest.raises(Unauthorized, match=r"\$MY_TOKEN is not set"):
        build(api_token_env="MY_TOKEN").generate(JOB, RecordingContext())


def test_a_name_that_is_none_is_told_before_anything_is_asked() -> None:
    job = msgspec.structs.replace(JOB, model="flux")

    with pytest.raises(InvalidRequest, match="not the name of a Replicate model"):
        build().generate(job, RecordingContext())

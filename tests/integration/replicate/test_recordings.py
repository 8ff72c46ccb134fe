"""The adapter against what Replicate was really seen to say, where somebody has that.

`IMAGEN_RECORDINGS` names a folder with a folder `replicate` in it.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from imagen.adapters.backends.replicate.errors import (
    InvalidInputError,
    NotFoundError,
    to_error,
)
from imagen.adapters.backends.replicate.inputs import AttachedImages, build_model_inputs
from imagen.adapters.backends.replicate.prediction import (
    Prediction,
    explain_failure,
    list_outputs,
    read_usage,
)
from imagen.adapters.backends.replicate.schema import read_fields
from imagen.domain.errors import BackendError, ImagenError
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

FOLDER = Path(os.environ.get("IMAGEN_RECORDINGS", "")) / "replicate"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "predictions.json").exists(),
    reason="IMAGEN_RECORDINGS names no folder with recordings of Replicate",
)


def recorded(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_every_prediction_is_understood() -> None:
    for said in recorded("predictions").values():
        prediction = msgspec.json.decode(msgspec.json.encode(said), type=Prediction)
        files = list_outputs(prediction)

        assert bool(files) == bool(said["output"])
        if prediction.is_finished and not files:
            assert isinstance(explain_failure(prediction), BackendError)


def test_every_example_is_understood() -> None:
    for said in recorded("model_default_examples")["examples"].values():
        if not said or not said.get("id"):
            continue
        prediction = msgspec.json.decode(msgspec.json.encode(said), type=Prediction)

        if prediction.status == "succeeded" and prediction.has_metrics:
            assert read_usage(prediction).seconds is not None


def test_every_refusal_is_understood() -> None:
    for said in recorded("http_errors"):
        answer = httpx.Response(said["status"], json=said["body"])
        try:
            error: Exception = to_error(
                answer, "Replicate", hide=str, now=datetime.now(UTC)
            )
        except (NotFoundError, InvalidInputError) as special:
            error = special

        assert isinstance(error, (ImagenError, NotFoundError, InvalidInputError))
        assert getattr(error, "code", "") != "backend_error"


def test_every_model_gets_what_it_takes() -> None:
    for name, said in recorded("model_inputs")["models"].items():
        properties = {
            key: {**value, "x-order": order}
            for order, (key, value) in enumerate(said["input"].items())
        }
        schema = {"components": {"schemas": {"Input": {"properties": properties}}}}
        inputs = build_model_inputs(read_fields(schema))
        can = inputs.capabilities(name, models=None)
        job = ImageJob(
            number=1,
            prompt="a cat",
            size=can.sizes.nearest(Size(1536, 768)),
            seed=can.largest_seed,
            media_type=can.formats[-1] if can.formats else None,
            timeout=60,
        )

        sent = inputs.build_payload(job, {}, AttachedImages())

        assert set(sent) <= set(properties), name
        assert (can.largest_seed is not None) == said["has_seed"], name

"""The models of Black Forest Labs, and jobs in their inputs.

The inputs are those of BFL's OpenAPI schema of 2026-05-01, and for FLUX 3 those of its
documentation of autumn 2026. Of FLUX 3 no other input is accepted.
"""

from collections.abc import Mapping
from functools import cache

import msgspec

from imagen.adapters.remote.json_values import as_list
from imagen.adapters.remote.models.images import encode_base64, prepare_mask
from imagen.adapters.remote.models.inputs import (
    AttachedImages,
    ModelInputs,
    build_model_inputs,
)
from imagen.adapters.remote.models.table import ModelTable, load_model_table
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceLimits
from imagen.domain.suggestion import suggest

DEFAULT_MODEL = "flux-2-pro"

_SEVERAL = "input_image"
"""An input that is numbered if there are several images: `input_image_2`, and so on."""

_LIMITS = {
    "flux-3-image": ReferenceLimits(
        smallest=256, max_pixels=16_000_000, max_bytes=20_000_000
    )
}


class Models:
    """All models, with the inputs that the config sets for the default one."""

    def __init__(self, default: str, configured: Mapping[str, object]) -> None:
        """Keep the default model and the inputs that the config sets."""
        self.default = default
        self._configured = configured

    def describe(self, model: str) -> Capabilities:
        """Return the capabilities of a model."""
        table = _load_table()
        capabilities = self._read_inputs(check_model(model)).capabilities(
            model, models=None, provider="bfl"
        )
        rule = msgspec.structs.replace(
            capabilities.sizes, max_pixels=table.models[model].max_pixels
        )
        limits = _LIMITS.get(model, ReferenceLimits())
        return msgspec.structs.replace(
            capabilities, sizes=rule, reference_limits=limits
        )

    def fill(self, job: ImageJob) -> dict[str, object]:
        """Return the body of the request for a job.

        Raises:
            InvalidRequest: the model does not support something in the job.
        """
        model = job.model or self.default
        inputs = self._read_inputs(model)
        mask = prepare_mask(job.mask, inputs) if job.mask else None
        attached = AttachedImages(
            images=tuple(map(encode_base64, job.images)),
            mask=encode_base64(mask) if mask else None,
        )
        body = inputs.build_payload(job, self._choose_configured(model), attached)
        for number, image in enumerate(as_list(body.get(_SEVERAL)), 1):
            body[f"{_SEVERAL}_{number}" if number > 1 else _SEVERAL] = image
        return body

    def _read_inputs(self, model: str) -> ModelInputs:
        fields = _load_table().read_fields(model)
        return build_model_inputs(fields, configured=self._choose_configured(model))

    def _choose_configured(self, model: str) -> Mapping[str, object]:
        """Return the inputs in the config; for another model, those that it has."""
        if model == self.default:
            return self._configured
        known = _load_table().models[model].properties.keys()
        return {
            name: self._configured[name] for name in self._configured.keys() & known
        }


def check_model(model: str) -> str:
    """Return the name of a model, or raise InvalidRequest if there is none."""
    known = tuple(_load_table().models)
    if model not in known:
        hint = suggest(model, known, f"Models: {', '.join(known)}.")
        raise InvalidRequest(f"BFL has no model {model!r}.", hint=hint)
    return model


@cache
def _load_table() -> ModelTable:
    return load_model_table(__file__)

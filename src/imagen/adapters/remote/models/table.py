"""Tables of well-known models, which save a request for their descriptions.

A table is a JSON file with the inputs of each model as JSON schemas:
`{"schemas": {NAME: SCHEMA}, "models": {MODEL: {"properties": {INPUT: SCHEMA}}}}`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from imagen.adapters.remote.models.schema import Field, read_fields


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a table.

    Attributes:
        properties: The schemas of its inputs.
        required: The inputs that must be sent.
        unit: What the vendor charges for, in its own word; "" if unknown.
        max_pixels: Maximum of width times height; None if it has none, or no sides.
    """

    properties: Mapping[str, object]
    required: Sequence[str] = ("prompt",)
    unit: str = ""
    max_pixels: int | None = None


class ModelTable(msgspec.Struct, frozen=True):
    """A table.

    Attributes:
        models: The models by name.
        schemas: Schemas that several inputs refer to, by name.
    """

    models: Mapping[str, ListedModel]
    schemas: Mapping[str, object] = {}

    def read_fields(self, name: str) -> tuple[Field, ...]:
        """Return the inputs of a model."""
        model = self.models[name]
        inputs = {"required": [*model.required], "properties": {**model.properties}}
        schemas = {**self.schemas, "Input": inputs}
        return read_fields({"components": {"schemas": schemas}})


def load_model_table(module: str) -> ModelTable:
    """Return the table in `models.json` beside a module; `module` is its file."""
    content = Path(module).with_name("models.json").read_bytes()
    return msgspec.json.decode(content, type=ModelTable)

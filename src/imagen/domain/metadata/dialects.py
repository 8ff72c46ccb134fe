"""Parsers for the generation metadata of each known tool.

Based on the source code of the tools as of November 2026.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from imagen.domain.metadata.comfyui_graph import read_graph
from imagen.domain.metadata.embedded import FieldNames, Recipe, build_recipe
from imagen.domain.metadata.foreign_json import (
    NotJson,
    Unreadable,
    as_object,
    decode_object,
)
from imagen.domain.metadata.infotext import read_infotext
from imagen.domain.sidecar import read_embedded_sidecar
from imagen.formats.texts import Texts

Found: TypeAlias = Mapping[str, str]

_IMAGEN = FieldNames(negative=("negative",))
_INVOKEAI = FieldNames(
    prompt=("positive_prompt",), guidance=("cfg_scale",), sampler=("scheduler",)
)
_EARLY_INVOKEAI = FieldNames(model=("model_weights",), guidance=("cfg_scale",))
_FOOOCUS = FieldNames(
    size=("resolution",), model=("base_model",), guidance=("guidance_scale",)
)
_NOVELAI = FieldNames(negative=("uc",), model=("Source",), guidance=("scale",))
_INFOTEXT = FieldNames(
    seed=("Seed",),
    steps=("Steps",),
    size=("Size",),
    model=("Model",),
    guidance=("CFG scale",),
    sampler=("Sampler",),
)
# Tools that write infotexts, by the start of their `Version` field.
_WRITERS = {
    "imagen": re.compile(r"imagen "),
    "stable-diffusion.cpp": re.compile(r"stable-diffusion\.cpp"),
    "Fooocus": re.compile(r"Fooocus"),
    "ComfyUI": re.compile(r"ComfyUI"),
    "Forge": re.compile(r"f[0-9]|neo"),
}


def read_recipes(texts: Texts) -> Iterator[Recipe]:
    """Yield the metadata of each tool, the most reliable first."""
    seen: set[str] = set()
    for read in _READERS:
        try:
            recipe = read(texts.found)
        except Unreadable as error:
            texts.warn(str(error))
            continue
        if recipe is not None and recipe.tool not in seen:
            seen.add(recipe.tool)
            yield recipe


def _imagen(found: Found) -> Recipe | None:
    data = decode_object(found, "imagen")
    if data is None:
        return None
    try:
        sidecar = read_embedded_sidecar(data)
    except msgspec.ValidationError as error:
        raise Unreadable("imagen's own metadata has an unknown format") from error
    return msgspec.structs.replace(
        build_recipe("imagen", data, _IMAGEN),
        parameters=sidecar.parameters,
        sidecar=sidecar,
    )


def _fooocus(found: Found) -> Recipe | None:
    if "fooocus_scheme" not in found and not _begins(found, "Software", "Fooocus"):
        return None
    data = _object(found, "parameters") or _object(found, "UserComment")
    return build_recipe("Fooocus", data, _FOOOCUS) if data else None


def _invokeai(found: Found) -> Recipe | None:
    if data := decode_object(found, "invokeai_metadata"):
        return build_recipe("InvokeAI", data, _INVOKEAI)
    if data := decode_object(found, "sd-metadata"):
        inner = as_object(data.get("image"))
        return build_recipe(
            "InvokeAI", {**data, "image": None, **inner}, _EARLY_INVOKEAI
        )
    return None


def _mflux(found: Found) -> Recipe | None:
    data = _object(found, "UserComment")
    if data is None or "mflux_version" not in data:
        return None
    return build_recipe("mflux", data, FieldNames())


def _novelai(found: Found) -> Recipe | None:
    """Read NovelAI's metadata: texts in a PNG, EXIF in a WebP."""
    data = _object(found, "Comment") or _object(found, "UserComment")
    if data is None or not ("uc" in data or _begins(found, "Software", "NovelAI")):
        return None
    source = found.get("Source") or found.get("Software", "")
    words = found.get("Description") or found.get("ImageDescription")
    return build_recipe(
        "NovelAI", {"prompt": words, "Source": source, **data}, _NOVELAI
    )


def _infotext(found: Found) -> Recipe | None:
    key = next((key for key in ("parameters", "UserComment") if found.get(key)), None)
    if key is None or _object(found, key) is not None:
        return None
    infotext = read_infotext(found[key])
    # A user comment without settings may come from any program.
    if not infotext.pairs and key != "parameters":
        return None
    version = infotext.pairs.get("Version", "")
    writers = (tool for tool, begins in _WRITERS.items() if begins.match(version))
    tool = "SD.Next" if infotext.pairs.get("App") == "SD.Next" else "AUTOMATIC1111"
    return msgspec.structs.replace(
        build_recipe(next(writers, tool), infotext.pairs, _INFOTEXT),
        prompt=infotext.prompt,
        negative=infotext.negative,
    )


def _comfyui(found: Found) -> Recipe | None:
    graph = _object(found, "prompt")
    recipe = read_graph(graph) if graph else None
    if recipe is None and decode_object(found, "workflow"):
        return Recipe(tool="ComfyUI")
    return recipe


def _object(found: Found, key: str) -> Mapping[str, object] | None:
    """Return the JSON object in a text; None if the text is something else."""
    try:
        return decode_object(found, key)
    except NotJson:
        return None


def _begins(found: Found, key: str, words: str) -> bool:
    return found.get(key, "").startswith(words)


# The most reliable metadata first. The same keys, such as `parameters`, are used by
# several tools, so parsers that recognize their own tool run before the general ones.
_READERS: tuple[Callable[[Found], Recipe | None], ...] = (
    _imagen,
    _fooocus,
    _invokeai,
    _mflux,
    _novelai,
    _infotext,
    _comfyui,
)

"""The command `imagen inspect`."""

from collections.abc import Iterator, Mapping

import msgspec

from imagen.bootstrap.library import inspect_image
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, PathWord, check_config
from imagen.cli.tables import join_lines, truncate
from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.errors import ImagenError, UsageError
from imagen.domain.inspection import Agreement, Inspection
from imagen.domain.metadata.embedded import Recipe
from imagen.domain.money.cost import format_cost
from imagen.domain.sidecar import Sidecar
from imagen.settings.environment import process_environment

_LONGEST_NAME = 24
_LONGEST_VALUE = 200

_SIDECAR_LABELS: Mapping[Agreement, str] = {
    "none": "none",
    "same": "agrees: describes exactly these bytes",
    "changed": "DIFFERS: the file was changed afterwards",
    "other": "DIFFERS: describes another file",
}
_HISTORY_LABELS: Mapping[Agreement, str] = {**_SIDECAR_LABELS, "none": "no entry"}


def inspect(
    *images: PathWord, config: ConfigFlag = None, json: JsonFlag = False
) -> int:
    """Print how IMAGES were made, from their metadata, sidecars and the history.

    Reads metadata of imagen, AUTOMATIC1111, Forge, SD.Next, stable-diffusion.cpp,
    ComfyUI, InvokeAI, mflux, Fooocus and NovelAI. Reports if file and sidecar agree,
    and if a C2PA manifest is present and still valid.

    ```
    imagen inspect fox.png
    imagen inspect last --json
    ```

    Args:
        images: Paths, ids, unique prefixes of ids, or `last`.
    """
    if not images:
        raise UsageError("IMAGE is missing.", hint="`last` is the newest image.")
    check_config(config)
    out = Output(json=json)
    failed: ImagenError | None = None
    with Runtime(process_environment()) as runtime:
        for number, image in enumerate(images):
            try:
                found = inspect_image(runtime, str(image))
            except ImagenError as error:
                out.print_error(error)
                failed = failed or error
                continue
            if json:
                out.print_inspection(found)
                continue
            if number:
                out.print_text("")
            out.print_text(found.path)
            out.print_table(list(_rows(found)))
    return exit_codes.DONE if failed is None else exit_codes.exit_code_for(failed)


def _rows(found: Inspection) -> Iterator[tuple[str, str]]:
    kind = found.media_type.removeprefix("image/").partition("+")[0].upper()
    yield "file", f"{kind}, {found.width}x{found.height}, {found.bytes} bytes"
    yield "sha256", found.sha256
    yield "sidecar", _SIDECAR_LABELS[found.agreement]
    if found.differing:
        yield "", f"differs from the metadata in the file: {', '.join(found.differing)}"
    yield "history", _HISTORY_LABELS[found.history_agreement]
    yield "C2PA", _format_manifest(found.provenance)
    if found.source_type:
        yield "source type", found.source_type
    yield "metadata", ", ".join(each.tool for each in found.recipes) or "none"
    sidecar = next(_sidecars(found), None)
    if sidecar is not None:
        yield from _sidecar_rows(sidecar)
    elif found.recipes:
        yield from _recipe_rows(found.recipes[0])
    for warning in found.warnings:
        yield "warning", join_lines(warning)


def _sidecars(found: Inspection) -> Iterator[Sidecar]:
    """Yield the sidecars about this image, the most complete first."""
    if found.sidecar and found.agreement in {"same", "changed"}:
        yield found.sidecar
    if found.history and found.history_agreement in {"same", "changed"}:
        yield found.history
    yield from (each.sidecar for each in found.recipes if each.sidecar)


def _sidecar_rows(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    yield from _fact_rows(
        ("prompt", sidecar.prompt),
        (
            "sent prompt",
            "" if sidecar.prompt_sent == sidecar.prompt else sidecar.prompt_sent,
        ),
        ("negative", sidecar.negative),
        ("style", sidecar.style),
        ("backend", f"{sidecar.backend} ({sidecar.adapter})"),
        ("model", sidecar.model),
        ("seed", sidecar.seed),
        ("steps", sidecar.steps),
        ("requested size", sidecar.requested_size),
        ("cost", format_cost(sidecar.cost_usd)),
        ("created at", sidecar.created_at),
        ("id", sidecar.id),
        ("references", ", ".join(each.name for each in sidecar.references)),
        *sidecar.parameters.items(),
        *((f"ignored: {key}", why) for key, why in sidecar.ignored.items()),
        *(
            (f"adjusted: {key}", f"{change.requested} became {change.used}")
            for key, change in sidecar.adjusted.items()
        ),
        *(("warning then", warning) for warning in sidecar.warnings),
    )


def _recipe_rows(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield from _fact_rows(
        ("prompt", recipe.prompt),
        ("negative", recipe.negative),
        ("model", recipe.model),
        ("seed", recipe.seed),
        ("steps", recipe.steps),
        ("requested size", recipe.size),
        ("guidance", recipe.guidance),
        ("sampler", recipe.sampler),
        *recipe.parameters.items(),
    )


def _fact_rows(*facts: tuple[str, object]) -> Iterator[tuple[str, str]]:
    for name, fact in facts:
        if fact is not None and fact != "":
            yield truncate(join_lines(name), _LONGEST_NAME), _format_fact(fact)


def _format_fact(fact: object) -> str:
    if not isinstance(fact, Mapping | list | tuple):
        return join_lines(str(fact))
    # Cut: the graph of a ComfyUI workflow can have a thousand nodes.
    return truncate(join_lines(msgspec.json.encode(fact).decode()), _LONGEST_VALUE)


def _format_manifest(found: ContentCredentials | None) -> str:
    if found is None:
        return "no manifest"
    state = {
        None: "manifest present",
        True: "manifest present and valid",
        False: "MANIFEST DOES NOT MATCH THE FILE",
    }[found.fits]
    parts = (
        state + (f" ({', '.join(found.failures)})" if found.failures else ""),
        f"signed by {found.signed_by}" if found.signed_by else "",
        found.signed_at,
        f"by {found.made_with}" if found.made_with else "",
        found.note,
    )
    return join_lines("; ".join(filter(None, parts)))

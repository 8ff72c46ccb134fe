"""The command `imagen inspect`."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from imagen.bootstrap.library import build_inspect
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import JsonFlag, PathWord
from imagen.cli.tables import escape_control, join_lines, truncate
from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.errors import ImagenError, UsageError
from imagen.domain.inspection import Agreement, Inspection
from imagen.domain.metadata.embedded import Recipe
from imagen.domain.money.cost import format_usd
from imagen.domain.sidecar import Sidecar
from imagen.settings.environment import process_environment

_LONGEST_NAME = 24
_LONGEST_VALUE = 200

_AGREEMENT: Mapping[Agreement, str] = {
    "none": "none",
    "same": "agrees: it is about these very bytes",
    "changed": "DIFFERS: the file was changed since",
    "other": "DIFFERS: it is about other bytes",
}
_REMEMBERED: Mapping[Agreement, str] = {**_AGREEMENT, "none": "does not know it"}


def inspect(*images: PathWord, json: JsonFlag = False) -> int:
    """Say what IMAGES and their sidecars say of how they were made.

    Reads what imagen wrote, and AUTOMATIC1111, Forge, SD.Next, stable-diffusion.cpp,
    ComfyUI, InvokeAI, mflux, Fooocus and NovelAI; says whether file and sidecar agree,
    and whether a C2PA manifest is there and still fits.

    ```
    imagen inspect fox.png
    imagen inspect last --json
    ```

    Args:
        images: Paths, ids, unique beginnings of ids, or `last`.
    """
    if not images:
        raise UsageError("IMAGE is missing.", hint="`last` is the newest one.")
    said = Output(json=json)
    failed: ImagenError | None = None
    with Runtime(process_environment()) as runtime:
        use_case = build_inspect(runtime)
        for number, image in enumerate(images):
            try:
                found = use_case.run(str(image))
            except ImagenError as error:
                said.error(error)
                failed = failed or error
                continue
            if json:
                said.inspection(found)
                continue
            if number:
                said.text("")
            said.text(escape_control(found.path))
            said.table(list(_rows(found)))
    return exit_codes.DONE if failed is None else exit_codes.exit_code_for(failed)


def _rows(found: Inspection) -> Iterator[tuple[str, str]]:
    kind = found.media_type.removeprefix("image/").upper()
    yield "file", f"{kind}, {found.width}x{found.height}, {found.bytes} bytes"
    yield "sha256", found.sha256
    yield "sidecar", _AGREEMENT[found.agreement]
    if found.differing:
        yield "", f"what it says differs from inside: {', '.join(found.differing)}"
    yield "history", _REMEMBERED[found.history_agreement]
    yield "C2PA", _provenance(found.provenance)
    if found.source_type:
        yield "source type", found.source_type
    yield "inside", ", ".join(each.tool for each in found.recipes) or "no words"
    note = next(_notes(found), None)
    if note is not None:
        yield from _note(note)
    elif found.recipes:
        yield from _recipe(found.recipes[0])
    for warning in found.warnings:
        yield "warning", join_lines(warning)


def _notes(found: Inspection) -> Iterator[Sidecar]:
    """Yield notes about this image, the one that knows most first."""
    if found.sidecar and found.agreement in {"same", "changed"}:
        yield found.sidecar
    if found.history and found.history_agreement in {"same", "changed"}:
        yield found.history
    yield from (each.sidecar for each in found.recipes if each.sidecar)


def _note(note: Sidecar) -> Iterator[tuple[str, str]]:
    cost = None if note.cost_usd is None else format_usd(Decimal(str(note.cost_usd)))
    yield from _facts(
        ("prompt", note.prompt),
        ("as sent", "" if note.prompt_sent == note.prompt else note.prompt_sent),
        ("negative", note.negative),
        ("style", note.style),
        ("backend", f"{note.backend} ({note.adapter})"),
        ("model", note.model),
        ("seed", note.seed),
        ("steps", note.steps),
        ("asked for", note.requested_size),
        ("cost", cost),
        ("made at", note.created_at),
        ("id", note.id),
        ("references", ", ".join(each.name for each in note.references)),
        *note.parameters.items(),
        *((f"ignored: {key}", why) for key, why in note.ignored.items()),
        *(
            (f"adjusted: {key}", f"{change.requested} became {change.used}")
            for key, change in note.adjusted.items()
        ),
        *(("was said", warning) for warning in note.warnings),
    )


def _recipe(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield from _facts(
        ("prompt", recipe.prompt),
        ("negative", recipe.negative),
        ("model", recipe.model),
        ("seed", recipe.seed),
        ("steps", recipe.steps),
        ("asked for", recipe.size),
        ("guidance", recipe.guidance),
        ("sampler", recipe.sampler),
        *recipe.parameters.items(),
    )


def _facts(*facts: tuple[str, object]) -> Iterator[tuple[str, str]]:
    for name, fact in facts:
        if fact is not None and fact != "":
            yield truncate(join_lines(name), _LONGEST_NAME), _written(fact)


def _written(fact: object) -> str:
    """Return it on one line; a graph of a thousand nodes is no line."""
    if not isinstance(fact, Mapping | list | tuple):
        return join_lines(str(fact))
    return truncate(join_lines(msgspec.json.encode(fact).decode()), _LONGEST_VALUE)


def _provenance(found: ContentCredentials | None) -> str:
    if found is None:
        return "no manifest"
    state = {
        None: "a manifest is there",
        True: "a manifest is there and still fits",
        False: "A MANIFEST IS THERE AND DOES NOT FIT",
    }[found.fits]
    words = (
        state + (f" ({', '.join(found.failures)})" if found.failures else ""),
        f"signed by {found.signed_by}" if found.signed_by else "",
        found.signed_at,
        f"with {found.made_with}" if found.made_with else "",
        found.note,
    )
    return join_lines("; ".join(filter(None, words)))

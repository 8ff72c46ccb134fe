"""The parameters of an image as a command, as JSON and as arguments of curl."""

import shlex
from collections.abc import Iterator, Mapping

import msgspec

from imagen.bootstrap.parameters import PARAMETERS
from imagen.domain.errors import InvalidRequest
from imagen.domain.printable import encode_json
from imagen.domain.rerun import Provenance, provenance_from_sidecar
from imagen.domain.sidecar import Sidecar
from imagen.domain.style import Style, apply_style, combine_negatives
from imagen.server.http.request_mapping import find_field
from imagen.settings.document import parse_scalar


class RequestRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """The request that makes an image again, in three forms.

    Attributes:
        command: A line for a shell, with `imagen generate`.
        json: The body of `POST /v1/images/generations`.
        route: The route of the HTTP API: `generations`, or `edits`.
        curl: The arguments of curl beside the URL, for a shell.
        missing: The parameters that the HTTP API has no field for.
    """

    command: str
    json: str
    route: str
    curl: str
    missing: tuple[str, ...]


def build_recipe(sidecar: Sidecar, styles: Mapping[str, Style]) -> RequestRecipe | None:
    """Return the request that makes an image again; None if it cannot be expressed.

    Args:
        sidecar: The metadata of the image.
        styles: The styles that exist now, by name.
    """
    try:
        provenance = provenance_from_sidecar(sidecar)
    except InvalidRequest:
        return None
    prompt, parameters = _list_parameters(provenance, styles)
    fields, missing = _list_fields(provenance, prompt, parameters)
    body = encode_json(fields).decode()
    files = [*provenance.references, *filter(None, [provenance.mask])]
    if files:
        arguments = " ".join(_list_form(provenance, fields))
    else:
        arguments = f"--json {_quote(body)}"
    return RequestRecipe(
        command=" ".join(_list_words(provenance, prompt, parameters)),
        json=body,
        route="edits" if files else "generations",
        curl=arguments,
        missing=tuple(missing),
    )


def _list_parameters(
    provenance: Provenance, styles: Mapping[str, Style]
) -> tuple[str, dict[str, object]]:
    """Return the prompt, and the other parameters by their names in `PARAMETERS`.

    Reference images, mask and options are left out. A style that has changed since is
    applied already.
    """
    prompt, negative = provenance.prompt, provenance.negative
    style = styles.get(provenance.style or "")
    sent = provenance.prompt_sent or prompt
    own = "" if style is None else f"{negative}, ".removeprefix(f"{style.negative}, ")
    own = own.removesuffix(", ")
    if (
        style is not None
        and apply_style(prompt, style) == sent
        and combine_negatives(own, style) == negative
        and provenance.options.keys() >= style.options.keys()
    ):
        negative = own
    else:
        prompt, style = sent, None
    parameters: dict[str, object] = {
        "style": style and provenance.style,
        "negative": negative,
        "size": provenance.size and str(provenance.size),
        "seed": provenance.seed,
        "steps": provenance.steps,
        "model": provenance.model if provenance.model_requested else None,
        "fit": provenance.fit and str(provenance.fit),
        "fit_upscale": provenance.fit_upscale,
    }
    return prompt, {name: value for name, value in parameters.items() if value}


def _list_fields(
    provenance: Provenance, prompt: str, parameters: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """Return the fields of the HTTP API, and the parameters that it has none for."""
    model = parameters.get("model")
    fields: dict[str, object] = {
        "model": f"{provenance.backend}/{model}" if model else provenance.backend,
        "prompt": prompt,
    }
    missing: list[str] = []
    for name, value in parameters.items():
        if field := PARAMETERS[name].http_name:
            fields[field] = value
        elif name in {"fit", "fit_upscale"}:
            missing.append(name)
    for name, value in provenance.options.items():
        if option := find_field(name):
            fields[option] = value
        else:
            missing.append(name)
    return fields, missing


def _list_words(
    provenance: Provenance, prompt: str, parameters: Mapping[str, object]
) -> Iterator[str]:
    """Yield the words of the command, quoted for a shell."""
    is_piped = prompt.startswith("-")  # as an argument it is refused
    yield (
        f"printf %s {_quote(prompt)} | imagen generate"
        if is_piped
        else "imagen generate"
    )
    yield _flag("backend", provenance.backend)
    for name, value in parameters.items():
        flag = name.replace("_", "-")
        yield f"--{flag}" if value is True else _flag(flag, str(value))
    for reference in provenance.references:
        yield _flag("image", reference.name)
    if provenance.mask is not None:
        yield _flag("mask", provenance.mask.name)
    for key, option in provenance.options.items():
        yield _flag("set", f"{key}={_to_scalar(option)}")
    yield "-" if is_piped else _quote(prompt)


def _flag(name: str, value: str) -> str:
    # With a space, a value such as `-1` would be another flag.
    return f"--{name}{'=' if value.startswith('-') else ' '}{_quote(value)}"


def _to_scalar(value: object) -> str:
    """Return the word that `--set` understands as this value."""
    if isinstance(value, str):
        try:
            if parse_scalar(value) == value:
                return value
        except InvalidRequest:
            pass
    return msgspec.json.encode(value).decode()


def _list_form(provenance: Provenance, fields: Mapping[str, object]) -> Iterator[str]:
    """Yield the arguments of curl for a form with files."""
    for name, value in fields.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        # Not --form: there a value that begins with @ or < is the name of a file.
        yield f"--form-string {_quote(f'{name}={text}')}"
    for reference in provenance.references:
        yield f"--form {_quote(f'image=@{_quote_name(reference.name)}')}"
    if provenance.mask is not None:
        yield f"--form {_quote(f'mask=@{_quote_name(provenance.mask.name)}')}"


def _quote_name(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote(word: str) -> str:
    """Return the word for a shell, on one line and in printable characters.

    A prompt comes from a client: pasted into a terminal, its line breaks and control
    characters must not run commands.
    """
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_escape, word))}'"


def _escape(character: str) -> str:
    if character in {"\\", "'"}:
        return f"\\{character}"
    if character.isprintable():
        return character
    # As octal bytes, which every version of bash and zsh understands.
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="replace"))

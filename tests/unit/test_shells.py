"""The commands and the Python functions take the same parameters."""

from collections.abc import Callable
from inspect import signature

import pytest

import imagen
from imagen.api.parameters import Parameters, RerunArguments, SweepArguments
from imagen.api.studio import Studio
from imagen.bootstrap.parameters import (
    PARAMETERS,
    RerunParameters,
    SharedParameters,
    SweepParameters,
)
from imagen.cli.app import build_app
from imagen.domain.request import GenerationRequest

ONLY_IN_PYTHON = {"listen", "progress"}
# A notebook shows images by itself, and `image.pil().show()` opens a viewer.
SHOWN_IN_THE_SHELL = {"show", "open"}
ONLY_IN_THE_SHELL = {"json", "quiet", "verbose", "estimate", "verify"} | (
    SHOWN_IN_THE_SHELL
)
POSITIONAL = {"prompt"}
NEGATED = {
    "no_sidecar": "sidecar",
    "no_metadata": "metadata",
    "no_cloud": "cloud",
    "no_sheet": "sheet",
}


def shell(command: str) -> dict[str, object]:
    """A command's parameters by their Python names, with their defaults."""
    renamed = {info.flag: name for name, info in PARAMETERS.items() if info.flag}
    found: dict[str, object] = {}
    for argument in build_app((command,))[command].assemble_argument_collection():
        flag = next(name for name in argument.names if not name.startswith("--no-p"))
        name = flag.lstrip("-").replace("-", "_").lower()
        if not flag.startswith("--") or name in ONLY_IN_THE_SHELL:
            continue
        default = argument.field_info.default
        if name in NEGATED:
            found[NEGATED[name]] = not default
        else:
            found[renamed.get(name, name)] = default
    return found


def python(function: str) -> dict[str, object]:
    parameters = signature(getattr(imagen, function)).parameters
    # A rerun has the prompt as a flag, and the image where others have the prompt.
    first = {"image"} if "image" in parameters else POSITIONAL
    elsewhere = ONLY_IN_PYTHON | first
    return {n: p.default for n, p in parameters.items() if n not in elsewhere}


@pytest.mark.parametrize("name", ["generate", "rerun", "sweep"])
def test_both_take_the_same_parameters(name: str) -> None:
    assert python(name).keys() == shell(name).keys()


def test_what_is_left_out_means_the_same() -> None:
    # No window opens unless asked for.
    left_to_python = {"preview"}

    function, command = python("generate"), shell("generate")
    differing = {name for name in function if function[name] != command[name]}

    assert differing == left_to_python


def test_the_typed_parameters_are_those_of_the_functions() -> None:
    elsewhere = {"prompt", "image", "count", "config"}

    for name, kind in {
        "generate": Parameters,
        "agenerate": Parameters,
        "estimate": Parameters,
        "rerun": RerunArguments,
        "sweep": SweepArguments,
    }.items():
        parameters = signature(getattr(imagen, name)).parameters.keys()
        assert kind.__annotations__.keys() - elsewhere == parameters - elsewhere


def test_every_parameter_is_a_field_of_the_request() -> None:
    fields = set(GenerationRequest.__struct_fields__)

    assert {{"set": "options"}.get(name, name) for name in PARAMETERS} <= fields
    assert PARAMETERS.keys() == RerunParameters.__annotations__.keys()


def test_the_defaults_are_those_of_the_request() -> None:
    request = GenerationRequest(prompt="a cat")

    for name, info in PARAMETERS.items():
        if info.default is not None:
            assert getattr(request, name) == info.default


def test_a_sweep_varies_what_is_sweepable() -> None:
    sweepable = {name for name, info in PARAMETERS.items() if info.sweepable}

    assert sweepable == (
        SweepParameters.__annotations__.keys()
        - SharedParameters.__annotations__.keys()
        - {"negative"}
    )
    assert RerunParameters.__annotations__.keys() - sweepable == (
        SharedParameters.__annotations__.keys() | {"negative", "prompt"}
    )


def test_help_of_a_function_describes_every_parameter() -> None:
    for name in ("generate", "rerun", "sweep"):
        text = getattr(imagen, name).__doc__
        for parameter in python(name):
            assert f"\n    {parameter}: " in text
        assert "Raises:" in text


def test_a_studio_offers_what_the_module_does() -> None:
    for name in ("generate", "agenerate", "estimate", "rerun"):
        assert callable(getattr(Studio, name))
        assert callable(getattr(imagen, name))


def test_every_public_name_can_be_had_and_is_typed() -> None:
    import ast
    from pathlib import Path

    source = ast.parse(Path(str(imagen.__file__)).read_text("utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }

    assert typed | {"__version__"} == set(imagen.__all__)
    assert all(getattr(imagen, name) is not None for name in imagen.__all__)
    assert set(dir(imagen)) == set(imagen.__all__)


def test_every_kind_of_error_is_public() -> None:
    from imagen.domain import errors

    ours = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.ImagenError)
    }
    internal = {"NameTaken", "ReferenceTaken", "UsageError"}

    assert ours - internal <= set(imagen.__all__)


@pytest.mark.parametrize("function", [imagen.generate, imagen.rerun, imagen.sweep])
def test_a_signature_shows_types_and_no_declarations(
    function: Callable[..., object],
) -> None:
    assert "ParameterInfo" not in str(signature(function))


def test_the_docstring_has_units_forms_and_defaults() -> None:
    text = " ".join((imagen.generate.__doc__ or "").split())

    for fact in ("US dollars", "in seconds", "`(1536, 768)`", "else 1024x1024", "crop"):
        assert fact in text, fact


def test_an_unknown_parameter_is_named_with_its_function() -> None:
    with pytest.raises(TypeError, match=r"generate\(\) got an unexpected .* 'fail'"):
        imagen.generate("a cat", fail=1)  # type: ignore[call-overload]

"""The shell and the notebook are two ways of saying the same thing."""

from collections.abc import Callable
from inspect import signature

import imagen
from imagen.api import Parameters, RerunParameters, Studio
from imagen.cli.generate import generate as command
from imagen.cli.rerun import rerun
from imagen.cli.sweep import sweep

ONLY_IN_PYTHON = {"listen", "progress"}
ONLY_IN_THE_SHELL = {"json", "quiet", "verbose", "estimate", "verify"}
RENAMED = {"image": "images"}
TURNED_ROUND = {
    "no_sidecar": "sidecar",
    "no_metadata": "metadata",
    "no_cloud": "cloud",
    "no_sheet": "sheet",
}


def shell(command: Callable[..., int] = command) -> dict[str, object]:
    """A command's parameters by their Python names, with their defaults."""
    found: dict[str, object] = {}
    for name, parameter in signature(command).parameters.items():
        if name in TURNED_ROUND:
            found[TURNED_ROUND[name]] = not parameter.default
        elif name not in ONLY_IN_THE_SHELL:
            found[RENAMED.get(name, name)] = parameter.default
    return found


def python() -> dict[str, object]:
    parameters = signature(imagen.generate).parameters
    return {n: p.default for n, p in parameters.items() if n not in ONLY_IN_PYTHON}


def test_both_take_the_same_parameters() -> None:
    assert python().keys() == shell().keys()


def test_what_is_left_out_means_the_same() -> None:
    # None is one image that is no list; and no window opens unless asked for.
    left_to_python = {"count", "preview"}

    differing = {n for n in python() if python()[n] != shell()[n]}

    assert differing == left_to_python


def test_the_typed_parameters_are_those_of_the_function() -> None:
    elsewhere = {"prompt", "count", "config"}

    assert Parameters.__annotations__.keys() == (
        signature(imagen.generate).parameters.keys() - elsewhere
    )


def test_what_makes_an_image_again_takes_the_same_in_both() -> None:
    elsewhere = {"image", "count", "config"}

    assert shell(rerun).keys() - elsewhere == (
        RerunParameters.__annotations__.keys() - ONLY_IN_PYTHON
    )


def test_a_sweep_takes_the_same_in_both() -> None:
    python = signature(imagen.sweep).parameters.keys() - ONLY_IN_PYTHON

    assert shell(sweep).keys() == python


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

"""Every distribution that the package imports is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What is declared but never imported, and why.
NOT_IMPORTED = {
    "httptools": "uvicorn loads it",
    "ipykernel": "brings the kernel of a notebook",
    "ipython": "is taken from sys.modules where a notebook has loaded it",
    "python-socks": "websockets loads it",
    "socksio": "httpx loads it",
    "supabase": "is the project whose parts are imported",
    "uvloop": "uvicorn loads it",
}
# The extra of each part of the package; all others need no extra.
EXTRAS = {"imagen.server": "serve", "imagen.testing": "testing"}
OPTIONAL = {"c2pa-python": "c2pa", "keyring": "keyring", "textual-image": "show"}


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", each) for each in requirements)
    return {normalize(name[0]) for name in names if name}


BASE = declared(PROJECT["dependencies"])
BY_EXTRA = {
    extra: declared(requirements)
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra != "all"
}


def imported(file: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.fixture(scope="module")
def distributions() -> dict[str, set[str]]:
    """Return each imported distribution with the modules of ours that import it."""
    provided = packages_distributions()
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "src" / "imagen").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
        for name in set(imported(file)) - sys.stdlib_module_names - {"imagen"}:
            for distribution in provided.get(name, [f"{name} (not installed)"]):
                found.setdefault(normalize(distribution), set()).add(module)
    return found


def test_imported_distributions_are_declared(
    distributions: dict[str, set[str]],
) -> None:
    undeclared: list[str] = []
    for distribution, modules in distributions.items():
        for module in modules:
            part = ".".join(module.split(".")[:2])
            extra = OPTIONAL.get(distribution) or EXTRAS.get(part, "")
            if distribution not in BASE | BY_EXTRA.get(extra, set()):
                undeclared.append(f"{module} imports {distribution}")

    assert undeclared == []


def test_declared_distributions_are_imported(
    distributions: dict[str, set[str]],
) -> None:
    everything = BASE.union(*BY_EXTRA.values())

    assert everything - distributions.keys() == NOT_IMPORTED.keys()


def test_the_extra_all_has_every_other_extra() -> None:
    (requirement,) = PROJECT["optional-dependencies"]["all"]

    named = requirement.partition("[")[2].rstrip("]").split(",")
    assert sorted(named) == sorted(BY_EXTRA)


def test_the_readme_says_what_each_extra_is_for() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("| extra | for |")[2]

    rows = table.partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == sorted(BY_EXTRA)

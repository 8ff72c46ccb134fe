"""`imagen.backend` is the module that adapter authors import; it never shrinks."""

import ast
import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from textwrap import dedent
from types import FunctionType
from typing import ClassVar, get_origin

import pytest

import imagen.backend
from imagen.testing.contracts.http_stage import HttpStage

ROOT = Path(__file__).parents[2]
PUBLIC = {"imagen.backend", "imagen.testing"}
NAMES = [
    "UNTOUCHED",
    "Adapter",
    "BackendContext",
    "BackendError",
    "Cancelled",
    "Capabilities",
    "CheckableBackend",
    "Clock",
    "CloseableBackend",
    "Cost",
    "CostBackend",
    "DelayedOutput",
    "Exchange",
    "Generated",
    "GeneratedImage",
    "HttpRequest",
    "HttpResponse",
    "ImageBackend",
    "ImageJob",
    "ImagenError",
    "InvalidRequest",
    "JobAccepted",
    "JobContext",
    "JobFailed",
    "JobOutput",
    "JobPreview",
    "JobRunning",
    "JobStatus",
    "JobSucceeded",
    "ListedPrice",
    "LiveJobContext",
    "LookupBackend",
    "Misconfigured",
    "OutOfCredit",
    "PerModelBackend",
    "PollNow",
    "Price",
    "Rate",
    "Readiness",
    "ReferenceImage",
    "ReferenceLimits",
    "Refused",
    "ResumableBackend",
    "Secrets",
    "Size",
    "SizeRule",
    "Throttled",
    "Unauthorized",
    "Unavailable",
    "Unfinished",
    "UnreadableResponse",
    "Unsupported",
    "Used",
    "Vendor",
    "WarmupBackend",
    "WebSocketRequest",
    "basic_auth",
    "bearer",
    "decode_options",
    "http_adapter",
    "quote_segment",
    "remote_backend",
    "rgb_png",
    "usd_to_micros",
]


def imported_modules(code: str) -> Iterator[str]:
    """Yield each module of imagen that the code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "imagen")


def test_the_public_names_are_these() -> None:
    assert imagen.backend.__all__ == NAMES


def test_every_public_name_has_a_docstring() -> None:
    values = {name: getattr(imagen.backend, name) for name in NAMES}
    documented = (type, FunctionType)  # an alias of a type has its text below it
    undocumented = [
        name
        for name, value in values.items()
        if isinstance(value, documented) and not value.__doc__
    ]

    assert undocumented == []


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "examples").glob("*/**/*.py")),
    ids=lambda file: file.name,
)
def test_an_example_imports_the_public_modules_only(file: Path) -> None:
    assert set(imported_modules(file.read_text("utf-8"))) <= PUBLIC


def test_the_guide_for_adapters_imports_the_public_modules_only() -> None:
    guide = (ROOT / "docs" / "adapters.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    bodies = [dedent(block.partition("\n")[2]) for block in blocks]
    imported = {name for body in bodies for name in imported_modules(body)}

    assert imported == PUBLIC


def table_names(page: str, title: str) -> list[str]:
    """Return the names in the first column of a table."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    table = text.partition(f"| {title} |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)[`(]", cell)]


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("adapters.md", "ImageJob"),
        ("adapters.md", "Capabilities"),
        ("adapters.md", "Generated"),
        ("vendor-files.md", "HttpRequest"),
        ("vendor-files.md", "JobOutput"),
        ("vendor-files.md", "JobSucceeded"),
    ],
)
def test_the_guide_has_a_table_of_all_fields(page: str, name: str) -> None:
    fields = getattr(imagen.backend, name).__struct_fields__

    assert table_names(page, f"field of `{name}`") == list(fields)


def test_the_guide_has_a_table_of_what_an_author_states() -> None:
    shown = table_names("adapters.md", "attribute of `HttpBackendContract`")

    kinds = HttpStage.__annotations__
    assert shown == [name for name in kinds if get_origin(kinds[name]) is ClassVar]


def test_the_guide_has_a_table_of_the_options_of_an_http_adapter() -> None:
    shown = table_names("vendor-files.md", "argument of `http_adapter`")

    assert shown == list(signature(imagen.backend.http_adapter).parameters)[1:]

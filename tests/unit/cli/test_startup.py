"""It starts fast because it does not import what it does not need.

Milliseconds depend on the machine; module names do not.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagen.cli.app import COMMANDS

HEAVY = {
    "IPython",
    "PIL",
    "asyncio",
    "cyclopts",
    "difflib",
    "httpx",
    "importlib.metadata",
    "platformdirs",
    "postgrest",
    "rich",
    "sqlite3",
    "storage3",
    "structlog",
    "subprocess",
    "supabase",
    "tempfile",
    "typing",
    "yaml",
}
ALWAYS = {"typing"}  # of whatever is more than the version
# Of whatever is written down; macOS has its own folders for it.
HISTORY = {"sqlite3"} | (
    {"platformdirs", "tempfile"} if sys.platform == "darwin" else set[str]()
)

RUN = """
import sys
before = set(sys.modules)
{code}
print(sorted({heavy!r} & (set(sys.modules) - before)))
"""
MAIN = "from imagen.cli.app import main; "


def last_line(code: str, home: Path, env: Mapping[str, str] | None = None) -> str:
    """Run the code in an interpreter of its own, and return its last line."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG"}}
    out = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=home,
        env={**kept, "HOME": str(home), **(env or {})},
    )
    return out.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import imagen", set[str]()),
        (MAIN + "main(['--version'])", set[str]()),
        (MAIN + "main(['version'])", set[str]()),
        ("import imagen; imagen.generate", ALWAYS),
        (
            MAIN + "main(['generate', 'fox', '--size', '16x16'])",
            ALWAYS | HISTORY | {"cyclopts", "PIL"},
        ),
        (
            MAIN + "main(['generate', 'fox', '--size', '16x16', '--config', 'c.yaml'])",
            ALWAYS | HISTORY | {"cyclopts", "PIL", "yaml"},
        ),
        (MAIN + "main(['config', 'path'])", ALWAYS | {"cyclopts"}),
        (MAIN + "main(['jobs'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['history'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['show', 'x'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['inspect', 'x'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['strip', 'x'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['usage'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['resume'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['rerun', 'last'])", ALWAYS | HISTORY | {"cyclopts"}),
        (
            MAIN + "main(['sweep', 'fox', '--seed', '1,2', '--estimate'])",
            ALWAYS | HISTORY | {"cyclopts"},
        ),
        (MAIN + "main(['sync'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['fetch', 'last'])", ALWAYS | HISTORY | {"cyclopts"}),
        (MAIN + "main(['history', '--cloud'])", ALWAYS | HISTORY | {"cyclopts"}),
        (
            "import imagen; imagen.generate('fox', size='16x16')",
            ALWAYS | HISTORY | {"PIL"},
        ),
    ],
)
def test_imports_only(code: str, allowed: set[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("backends: {mine: {adapter: mock}}")

    loaded = set(eval(last_line(RUN.format(code=code, heavy=HEAVY), tmp_path)))

    assert loaded <= allowed


def test_nothing_of_the_cloud_is_imported_where_nothing_is_pending(
    tmp_path: Path,
) -> None:
    code = f"{MAIN}main(['generate', 'a fox', '--size', '16x16']); main(['usage'])"
    project = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SERVICE_KEY": "canary"}

    for env in ({}, project):
        only = code if not env else code.rpartition(";")[0]
        line = last_line(f"{only}; import sys; print(*sys.modules)", tmp_path, env)
        loaded = {name.partition(".")[0] for name in line.split()}
        assert not loaded & {"httpx", "postgrest", "storage3", "supabase"}


@pytest.mark.parametrize("words", [["--help"], ["config", "--help"]])
def test_help_imports_no_command(words: list[str], tmp_path: Path) -> None:
    code = f"{MAIN}main({words}); import sys; print(*sys.modules)"

    loaded = set(last_line(code, tmp_path).split())
    named = {target.partition(":")[0] for target, _ in COMMANDS.values()}
    assert not named & loaded


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["usage"], 60),
        (["history"], 60),
        (["jobs"], 60),
        (["prices"], 60),
        (["generate", "fox", "--size", "16x16"], 110),
    ],
)
def test_a_command_loads_few_modules_of_imagen(
    words: list[str], limit: int, tmp_path: Path
) -> None:
    code = f"{MAIN}code = main({words}); import sys; print(); print(code, *sys.modules)"

    exit_code, *loaded = last_line(code, tmp_path).split()
    assert exit_code == "0"
    assert len([n for n in loaded if n.partition(".")[0] == "imagen"]) < limit

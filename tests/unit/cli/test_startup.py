"""It starts fast because it does not import what it does not need.

Milliseconds depend on the machine; module names do not.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.nightly import some_by_day

from imagen.cli.app import COMMANDS
from imagen.registry import BUILT_IN

HEAVY = {
    "IPython",
    "PIL",
    "anyascii",
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
print()
print(*(set(sys.modules) - before))
"""
MAIN = "from imagen.cli.app import main; "
CLOUD = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SERVICE_KEY": "canary"}


@cache
def loaded_by(code: str, *, cloud: bool = False) -> frozenset[str]:
    """Return the modules that the code loads in an interpreter of its own."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG"}}
    with TemporaryDirectory() as home:
        Path(home, "c.yaml").write_text("backends: {mine: {adapter: mock}}")
        out = subprocess.run(
            [sys.executable, "-c", RUN.format(code=code)],
            check=True,
            capture_output=True,
            text=True,
            cwd=home,
            env={**kept, "HOME": home, **(CLOUD if cloud else {})},
        )
    return frozenset(out.stdout.splitlines()[-1].split())


def packages(modules: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


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
        (MAIN + "main(['usage'])", ALWAYS | HISTORY | {"cyclopts"}),
        *(
            (f"{MAIN}main({words})", ALWAYS | HISTORY | {"cyclopts"})
            for words in some_by_day(
                [
                    ["show", "x"],
                    ["inspect", "x"],
                    ["strip", "x"],
                    ["fetch", "last"],
                    ["resume"],
                    ["sync"],
                    ["history", "--cloud"],
                    ["rerun", "last"],
                    ["sweep", "fox", "--seed", "1,2", "--estimate"],
                ],
                4,
            )
        ),
        (
            "import imagen; imagen.generate('fox', size='16x16')",
            ALWAYS | HISTORY | {"PIL"},
        ),
    ],
)
def test_imports_only(code: str, allowed: set[str]) -> None:
    assert HEAVY & loaded_by(code) <= allowed


def test_the_end_of_the_process_collects_no_garbage() -> None:
    code = (
        "import gc, sys; sys.argv[1:] = ['version']; "
        "from imagen.cli.app import main; main(); print(gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout.splitlines()[-1] == b"True"


def test_nothing_of_the_cloud_is_imported_where_nothing_is_pending() -> None:
    generate = MAIN + "main(['generate', 'fox', '--size', '16x16'])"
    of_the_cloud = {"httpx", "postgrest", "storage3", "supabase"}

    for loaded in (
        loaded_by(generate),
        loaded_by(generate, cloud=True),
        loaded_by(MAIN + "main(['usage'])"),
    ):
        assert "imagen" in packages(loaded)
        assert not of_the_cloud & packages(loaded)


def test_the_command_line_of_httpx_is_not_loaded() -> None:
    loaded = loaded_by(
        "import imagen.adapters.remote.client, imagen.adapters.remote.job"
    )
    after = loaded_by(
        "import imagen.adapters.remote.client, httpx._main; assert httpx._main.main"
    )

    assert "httpx" in loaded
    assert not {"click", "rich", "pygments", "httpx._main"} & loaded
    assert "httpx._main" in after


@pytest.mark.parametrize("words", [["--help"], ["config", "--help"]])
def test_help_imports_no_command(words: list[str]) -> None:
    loaded = loaded_by(f"{MAIN}main({words})")

    named = {target.partition(":")[0] for target, _ in COMMANDS.values()}
    assert "imagen.cli.app" in loaded
    assert not named & loaded


def test_help_of_a_command_loads_its_flags_only() -> None:
    loaded = loaded_by(f"{MAIN}main(['generate', '--help'])")

    assert "imagen.cli.generation_flags" in loaded
    of_a_run = {"imagen.cli.generation", "imagen.settings.model", "sqlite3"}
    assert not of_a_run & loaded


def test_a_list_of_the_adapters_imports_none_that_is_built_in() -> None:
    loaded = loaded_by(f"{MAIN}main(['backends', 'list'])")

    others = {f"imagen.adapters.backends.{name}" for name in BUILT_IN if name != "mock"}
    assert "imagen.registry" in loaded
    assert not others & loaded


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
def test_a_command_loads_few_modules_of_imagen(words: list[str], limit: int) -> None:
    loaded = loaded_by(f"{MAIN}main({words})")

    assert f"imagen.cli.{words[0]}" in loaded
    assert len([name for name in loaded if name.partition(".")[0] == "imagen"]) < limit

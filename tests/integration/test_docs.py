"""What README and docs show is run, so that it stays true."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import IMAGEN, Ask, ask, clean_env, here, home
from tests.nightly import NIGHTLY

__all__ = ["ask", "clean_env", "here", "home"]  # fixtures

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    imagen ((?:backends |config )?[a-z]+)", re.MULTILINE)
FILE_NAME = re.compile(r"#\s*(\S+\.(?:py|toml|yaml))\s*$")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return [code for kind, code in BLOCK.findall(text) if kind == language]


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


@pytest.mark.parametrize("page", ["README.md", "docs/rerun-and-sweep.md"])
@pytest.mark.usefixtures("ask")
def test_the_python_of_a_page_runs(page: str) -> None:
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    "line", [line for code in blocks("README.md", "sh") for line in code.splitlines()]
)
def test_the_shell_lines_of_the_readme_run(tmp_path: Path, ask: Ask, line: str) -> None:
    command = line.partition("  #")[0].strip()
    expected = int(found[1]) if (found := re.search(r"exit (\d)", line)) else 0
    command = command.replace("open $(", "test -f $(")
    if "--install-completion" in command:
        command += " --shell bash"
    if command.startswith("imagen ") and not set("|$") & set(command):
        assert ask(*shlex.split(command)[1:]).code == expected
        return

    run = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == expected, run.stderr


def test_the_commands_of_the_readme_are_those_there_are() -> None:
    from imagen.cli.app import COMMANDS

    text = (ROOT / "README.md").read_text("utf-8")
    shown = set(COMMAND.findall(text))

    # A command's own commands, such as `jobs forget`, are in its help.
    top = {name for name in COMMANDS if name.rpartition(" ")[0] not in COMMANDS}
    assert shown == {name for name in top if not name.startswith("-")}


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/accounts.md",
        "docs/adapters.md",
        "docs/comfyui.md",
        "docs/replicate.md",
        "docs/rerun-and-sweep.md",
        "docs/supabase.md",
        "docs/vendor-files.md",
        "CONTRIBUTING.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)

    missing = [
        link
        for link in links
        if not link.startswith("http")
        and not (ROOT / page).parent.joinpath(link).exists()
    ]

    assert missing == []


def source_texts(package: str) -> list[str]:
    """Return the texts of the package's string literals, with `…` for each value."""
    texts: list[str] = []
    for file in (ROOT / "src" / "imagen" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


@pytest.mark.parametrize("page", ["docs/comfyui.md", "docs/replicate.md"])
def test_the_quoted_error_messages_exist(page: str) -> None:
    table = (ROOT / page).read_text("utf-8").partition("## Error messages")[2]
    quoted = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    texts = source_texts("adapters")

    # `…`, and the names and values of an example, may be anything in the source.
    words = re.compile(r"[a-z][a-z' ]{11,}[a-z]")
    missing = [
        fragment
        for message in quoted
        for fragment in words.findall(message)
        if not any(fragment in text for text in texts)
    ]

    assert quoted
    assert missing == []


@pytest.mark.parametrize("page", ["docs/adapters.md", "docs/vendor-files.md"])
def test_the_adapter_of_a_page_passes_its_tests(tmp_path: Path, page: str) -> None:
    for code in blocks(page, "python") + blocks(page, "toml"):
        first, _, _ = code.partition("\n")
        if named := FILE_NAME.match(first):
            (tmp_path / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[1]).write_text(code, "utf-8")
    assert list(tmp_path.glob("tests/test_*.py"))

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-3000:]
    assert "passed" in run.stdout


def test_the_example_package_passes_its_tests() -> None:
    folder = ROOT / "examples" / "imagen-chalk"
    # All of its contract is run beside the broken backends.
    contract = () if NIGHTLY else ("-k", "test_is_ready")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *contract],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-3000:]


def test_the_installed_example_is_a_backend_like_any_other(tmp_path: Path) -> None:
    command = shlex.split(f"{IMAGEN} backends list")

    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    if "chalk" not in run.stdout:
        pytest.skip("examples/imagen-chalk is not installed")
    assert run.returncode == 0

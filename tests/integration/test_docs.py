"""What README and docs show is run, so that it stays true."""

import ast
import re
import runpy
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.e2e.conftest import IMAGEN, Ask, ask, clean_env, here, home

from imagen.backend import Cancelled
from imagen.testing import CancelledContext

__all__ = ["ask", "clean_env", "here", "home"]  # fixtures

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    imagen ((?:backends |config |trash )?[a-z]+)", re.MULTILINE)
FILE_NAME = re.compile(r"#\s*(\S+\.(?:py|toml|yaml))\s*$")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return [code for kind, code in BLOCK.findall(text) if kind == language]


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


@pytest.fixture
def paying(home: Path) -> Path:
    """A config with which an example that pins no backend would fail."""
    (home / ".config").mkdir()
    file = home / ".config" / "imagen.yaml"
    file.write_text("backends: {paid: {adapter: mock, price: 1, fail: refused}}")
    return file


def shell_lines(page: str) -> list[str]:
    """Return the commands of a page that a shell can run, without comments."""
    lines = [line for code in blocks(page, "sh") for line in code.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def exported(page: str) -> dict[str, str]:
    """Return the variables that the shell lines of a page set for each other."""
    lines = "\n".join(blocks(page, "sh"))
    return dict(re.findall(r"^export (\w+)=(\S+)", lines, re.MULTILINE))


@pytest.mark.parametrize(
    "page", ["README.md", "docs/python.md", "docs/rerun-and-sweep.md"]
)
@pytest.mark.usefixtures("ask", "paying")
def test_the_python_of_a_page_runs(page: str) -> None:
    names = {"__name__": "__main__"}
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), names)


@pytest.mark.parametrize("line", shell_lines("docs/commands.md"))
@pytest.mark.usefixtures("paying")
def test_each_shell_line_of_the_page_about_commands_runs(
    here: Path, home: Path, ask: Ask, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = exported("docs/commands.md")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run_line(line, ask=ask, here=here, env={**environment(home), **variables})


def test_the_shell_lines_of_the_readme_run_one_after_the_other(
    here: Path, home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = home / "own.yaml"
    config.write_text("backends: {own: {adapter: mock}}")
    monkeypatch.setenv("IMAGEN_CONFIG", str(config))

    for line in shell_lines("README.md"):
        env = {**environment(home), "IMAGEN_CONFIG": str(config)}
        run_line(line, ask=ask, here=here, env=env)

    assert len(list(here.glob("*a-red-fox*.png"))) == 6
    assert (here / "cat.webp").exists()


def run_line(line: str, *, ask: Ask, here: Path, env: dict[str, str]) -> None:
    """Run a line of the shell, and compare its exit code with that of its comment."""
    command = line.partition("  #")[0].strip()
    expected = int(found[1]) if (found := re.search(r"exit (\d)", line)) else 0
    if "--install-completion" in command:
        command += " --shell bash"
    if command.startswith("imagen ") and not set("|$>&") & set(command):
        done = ask(*shlex.split(command)[1:])
        assert done.code == expected, f"{command}: {done.err}"
        return

    run = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=here,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == expected, f"{command}: {run.stderr}"


@pytest.mark.parametrize(
    "config", ["backends: {{", "backends: {paid: {adapter: mock, price: 1}}", None]
)
def test_the_demo_runs_with_any_config(
    here: Path, home: Path, paying: Path, config: str | None
) -> None:
    if config is None:
        paying.unlink()
    else:
        paying.write_text(config)
    # Nothing is installed: the recipe alone runs, with this installation.
    make = ("make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "demo")

    run = subprocess.run(
        [*make, "-o", ".venv/installed", f"BIN={Path(sys.executable).parent}"],
        cwd=here,
        env={**environment(home), "IMAGEN_CLOUD_SYNC": "on"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    (image,) = (here / "demo").glob("*.png")
    shown = run.stdout.splitlines()
    path, last = shown.index(f"demo/{image.name}"), shown.index("    imagen --help")
    assert path < last == len(shown) - 1
    program = Path(sys.executable).parent
    assert f"imagen is installed as {program}/imagen. Next:" in shown
    assert f"    . {program}/activate" in shown
    assert b'"backend": "mock"' in image.with_name(f"{image.name}.json").read_bytes()


def test_the_page_about_commands_has_all_of_them() -> None:
    from imagen.cli.app import COMMANDS

    text = (ROOT / "docs/commands.md").read_text("utf-8")
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
        "docs/automatic1111.md",
        "docs/bfl.md",
        "docs/comfyui.md",
        "docs/commands.md",
        "docs/config.md",
        "docs/python.md",
        "docs/gemini.md",
        "docs/openrouter.md",
        "docs/fal.md",
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


@pytest.mark.parametrize(
    "page",
    [
        "docs/automatic1111.md",
        "docs/bfl.md",
        "docs/comfyui.md",
        "docs/fal.md",
        "docs/gemini.md",
        "docs/openrouter.md",
        "docs/replicate.md",
    ],
)
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


GUIDES = ["docs/adapters.md", "docs/vendor-files.md"]
GUIDE_BLOCK = re.compile(
    r"^```(?:python|toml|yaml|console)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def guide_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the packages that the guide for adapters shows."""
    folder = tmp_path_factory.mktemp("guide")
    for code in (code for page in GUIDES for code in guide_blocks(page)):
        if not (name := block_name(code)).startswith("examples/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(code, "utf-8")
    return folder


@pytest.fixture(scope="module")
def guide_python(guide_packages: Path) -> Path:
    """Return the interpreter of a new virtual environment that has imagen."""
    folder = guide_packages / "venv"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "installed.pth").write_text("\n".join(filter(None, sys.path)))
    return folder / "bin" / "python"


def guide_blocks(page: str) -> list[str]:
    """Return the blocks of a page that name their file."""
    text = (ROOT / page).read_text("utf-8")
    return [code for code in GUIDE_BLOCK.findall(text) if block_name(code)]


def block_name(code: str) -> str:
    named = FILE_NAME.match(code.partition("\n")[0])
    return named[1] if named else ""


def test_every_block_of_the_guide_is_a_file_or_a_command() -> None:
    text = (ROOT / "docs/adapters.md").read_text("utf-8")

    other = [
        code
        for code in GUIDE_BLOCK.findall(text)
        if not block_name(code) and not code.startswith(("$ ", "imagen: "))
    ]

    assert other == []


def test_the_guide_quotes_the_examples() -> None:
    quoted = [
        code for code in guide_blocks(GUIDES[0]) if "examples/" in block_name(code)
    ]

    assert quoted
    for code in quoted:
        name, _, body = code.partition("\n")
        assert body.rstrip() in (ROOT / block_name(name)).read_text("utf-8")


@pytest.mark.nightly  # by day imagen-easel runs the same contract
@pytest.mark.parametrize(
    "package",
    ["imagen-crayon", "imagen-square"],
)
def test_the_commands_of_the_guide_prove_a_package(
    guide_packages: Path, guide_python: Path, package: str
) -> None:
    folder = guide_packages / package
    assert list(folder.glob("tests/test_*.py"))

    for command in [*guide_commands(package), "python -m pytest -q"]:
        words = shlex.split(command)
        program = ["-m", "imagen"] if words[0] == "imagen" else []
        run = subprocess.run(
            [guide_python, *program, *words[1:]],
            cwd=folder,
            env={**environment(guide_packages), "CRAYON_API_KEY": "crayon-canary-1"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout[-3000:]}{run.stderr}"


class RemoteJob:
    """A job of an imaginary client, which never ends."""

    id, done, progress, cancelled = "r-1", False, 0.5, False

    def refresh(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True


def test_the_loop_of_the_guide_cancels_the_remote_job(guide_packages: Path) -> None:
    module = runpy.run_path(str(guide_packages / "imagen-square" / "waiting.py"))
    remote = RemoteJob()

    with pytest.raises(Cancelled):
        module["finished"](remote, CancelledContext())

    assert remote.cancelled


def guide_commands(package: str) -> list[str]:
    """Return the commands that the guide gives for a package."""
    text = (ROOT / GUIDES[0]).read_text("utf-8")
    shown, commands = "", []
    for code in GUIDE_BLOCK.findall(text):
        shown = block_name(code).partition("/")[0] or shown
        if shown == package:
            commands += re.findall(r"^\$ (.*)$", code, re.MULTILINE)
    return commands


# By day `tests/contract/test_broken.py` runs the contract of imagen-easel inside its
# process, and mistakes of both.
@pytest.mark.nightly
@pytest.mark.parametrize("example", ["imagen-chalk", "imagen-easel"])
def test_an_example_package_passes_its_tests(example: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT / "examples" / example,
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

"""The wheel and the source distribution, as `make release` builds them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src" / "imagen").rglob("*")
    if path.is_file() and path.suffix not in {".py", ".pyc"}
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both: the wheel is built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=150)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


def test_the_wheel_has_all_that_the_package_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert "imagen/py.typed" in DATA
    assert any(name.endswith(".sql") for name in DATA)
    assert any("/workflows/" in name for name in DATA)
    assert DATA - names == set()
    pages = {f"imagen/docs/{page.name}" for page in (ROOT / "docs").iterdir()}
    assert pages - names == set()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    strange = {name for name in names if not name.startswith("imagen")}
    assert strange == set()
    assert not [name for name in names if "__pycache__" in name]


def test_the_source_distribution_builds_and_tests_itself(dist: Path) -> None:
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        *("Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
        *("pyproject.toml", "constraints.txt", "tools/venv.sh", "tools/check.sh"),
        *("src/imagen/py.typed", "docs/supabase.md", "docs/terminal.webp"),
        *("tests/integration/test_release.py", "benchmarks/__main__.py"),
        "examples/imagen-chalk/pyproject.toml",
    } - names == set()


def test_a_message_of_an_installed_imagen_names_a_page_that_is_there(
    wheel: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); " + (
        "from imagen.cli.app import main; sys.exit(main(['sync']))"
    )

    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 2
    (page,) = [word for word in run.stderr.split() if word.endswith("supabase.md")]
    assert page == str(installed / "imagen" / "docs" / "supabase.md")
    assert Path(page).exists()


def test_a_message_in_a_clone_names_the_page_of_the_clone() -> None:
    from imagen.adapters.system.pages import find_page

    assert find_page("serve.md") == str(ROOT / "docs" / "serve.md")

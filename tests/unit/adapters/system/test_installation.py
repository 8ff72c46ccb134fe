"""The command that adds an extra fits the tool that installed imagen."""

import sys
from pathlib import Path

import pytest

from imagen.adapters.system import installation
from imagen.adapters.system.installation import format_install_command

RECEIPT = """
[tool]
requirements = [
    { name = "rich" },
    { name = "imagen-studio", extras = ["show"], path = "/tmp/x.whl" },
]
"""


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of this process."""
    folder = tmp_path / "imagen-studio"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def test_pip_of_an_active_environment_is_enough(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = prefix / "bin" / "pip"
    pip.write_text("#!/bin/sh")
    pip.chmod(0o755)
    monkeypatch.setenv("PATH", f"{prefix}/bin:/usr/bin")

    assert format_install_command("serve") == "pip install 'imagen-studio[serve]'"


def test_elsewhere_the_interpreter_is_named(prefix: Path) -> None:
    assert format_install_command("serve") == (
        f"{prefix}/bin/python -m pip install 'imagen-studio[serve]'"
    )


def test_an_environment_without_pip_is_one_of_uv(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)

    assert format_install_command("serve") == (
        f"uv pip install --python {prefix}/bin/python 'imagen-studio[serve]'"
    )


def test_pipx_adds_it_to_its_environment(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").touch()

    assert format_install_command("c2pa") == (
        "pipx runpip imagen-studio install 'imagen-studio[c2pa]'"
    )


def test_uv_tool_keeps_the_other_extras_and_the_source(prefix: Path) -> None:
    (prefix / "uv-receipt.toml").write_text(RECEIPT)

    command = format_install_command("c2pa")

    assert command.startswith("uv tool install 'imagen-studio[c2pa,show]")
    # This installation is that of a clone.
    assert " @ file:///" in command

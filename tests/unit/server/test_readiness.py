"""What `/ready` reports."""

from pathlib import Path

import msgspec
import pytest

from imagen.adapters.database.connection import FILE
from imagen.registry import find_adapter
from imagen.server import readiness
from imagen.server.jobs.service import ServerContext
from imagen.server.readiness import check_readiness
from imagen.settings.document import parse
from imagen.settings.environment import Environment
from imagen.settings.model import Settings
from imagen.settings.validate import validate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    text = f"""
    default_backend: mock
    output: {{dir: {tmp_path / "images"}}}
    backends: {{broken: {{adapter: comfyui, workflow: {tmp_path / "missing.json"}}}}}
    """
    return validate(parse(text.encode(), source="c.yaml"), adapter_of=find_adapter)


def problems(settings: Settings, folder: Path) -> set[str]:
    """Return the parts with a problem, without a worker process."""
    environment = Environment({"IMAGEN_DATA_DIR": str(folder / "data")})
    context = ServerContext(settings, environment=environment, log=print)
    checks = check_readiness(context)
    context.runtime.close()
    assert not any(str(folder) in text for text in checks.values())
    return {name for name, text in checks.items() if text != "ok"}


def test_a_worker_is_started_on_demand(settings: Settings, tmp_path: Path) -> None:
    assert problems(settings, tmp_path) == set()


def test_a_damaged_database_is_reported(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / FILE).write_bytes(b"no database" * 1000)

    assert problems(settings, tmp_path) == {"account"}


def test_a_full_disk_is_reported(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "MIN_FREE_BYTES", 1 << 70)

    assert problems(settings, tmp_path) == {"disk"}


@pytest.mark.parametrize("default", ["broken", None])
def test_a_backend_that_cannot_be_used_is_reported(
    settings: Settings, tmp_path: Path, default: str | None
) -> None:
    # Without a default backend one that works is enough: mock.
    found = problems(
        msgspec.structs.replace(settings, default_backend=default), tmp_path
    )

    assert found == ({"backends"} if default else set())

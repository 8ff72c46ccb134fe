"""A process that is killed while it looks up a cost loses neither image nor cost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from imagen.testing import tiny_png
from tests.e2e.conftest import Ask, Process, Start
from tests.integration.openrouter.conftest import KEY, Router, answer
from tests.integration.remote.server import (
    Recorded,
    Reply,
    ScriptedServer,
    json_reply,
)

CONFIG = """\
usage: {{remote: off}}
backends:
  router: {{adapter: openrouter, base_url: "{url}/api/v1", model: meadow/flux-9}}
"""
HEADERS = {"X-Generation-Id": "gen-1"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


def test_a_process_that_is_killed_during_the_lookup_loses_nothing(
    server: ScriptedServer, start: Start, ask: Ask, here: Path, tmp_path: Path
) -> None:
    router, running = Router(), list[Process]()
    router.made = msgspec.structs.replace(answer(tiny_png(1024, 1024)), headers=HEADERS)
    router.generation = json_reply({"data": {"id": "gen-1", "total_cost": 0.01323}})

    def reply(request: Recorded) -> Reply:
        if "/generation?" in request.path and running:
            os.kill(running.pop().pid, signal.SIGKILL)
        return router(request)

    server.answer = reply
    (tmp_path / "c.yaml").write_text(CONFIG.format(url=server.url))
    env = {
        "IMAGEN_CONFIG": str(tmp_path / "c.yaml"),
        "IMAGEN_DATA_DIR": str(tmp_path / "data"),
        "OPENROUTER_API_KEY": KEY,
    }

    process = start("generate", "a fox", "--size", "1024x1024", env=env)
    running.append(process)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert list(here.glob("**/*.png")) == []

    resumed = ask("resume", env=env)
    assert resumed.code == 0
    assert len(list(here.glob("**/*.png"))) == 1
    (entry,) = ask("history", "--json", env=env).objects
    assert entry["cost_usd"] == 0.01323
    assert len(server.sent("POST", "/")) == 1
    assert len(server.sent("GET", "/api/v1/generation")) == 2

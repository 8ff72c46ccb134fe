"""What a server makes is delivered while it runs, and waits while it cannot be."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.integration.serve.running import Running
from tests.integration.supabase.project import SupabaseProject

pytest.importorskip("litestar", reason="needs the extra imagen-studio[serve]")


def counted(project: SupabaseProject) -> tuple[int, int, int]:
    [(rows,)] = project.sql("select count(*) from mai.imagen_usage")
    [(images,)] = project.sql("select count(*) from imagen.images")
    [(objects,)] = project.sql("select count(*) from storage.objects")
    return rows, images, objects


def eventually(look: Callable[[], bool]) -> None:
    patience = time.monotonic() + 60
    while not look():
        assert time.monotonic() < patience
        time.sleep(0.1)


def test_a_server_delivers_what_it_makes(
    project: SupabaseProject, tmp_path: Path
) -> None:
    config: dict[str, object] = {
        "owner_user_id": project.user(),
        "backends": {"paid": {"adapter": "mock", "price": 0.05}},
    }
    env = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.secret_key}

    with Running(tmp_path, config, env=env) as server:
        for prompt in ("a fox", "a badger"):
            made = httpx.post(
                f"{server.url}/v1/images/generations",
                json={"prompt": prompt, "model": "paid", "size": "64x64"},
                timeout=30,
            )
            assert made.status_code == 200, made.text
        eventually(lambda: counted(project) == (2, 2, 2))

        assert server.stop() == 0
    assert "canary" not in server.log.read_text()
    assert project.secret_key not in server.log.read_text()

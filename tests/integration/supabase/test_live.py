"""A real project, if somebody gives its keys; it is left with one image more.

    IMAGEN_LIVE_SUPABASE_URL=https://... IMAGEN_LIVE_SUPABASE_KEY=sb_secret_... \\
    IMAGEN_LIVE_SUPABASE_OWNER=UID pytest -m live tests/integration/supabase
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.integration.supabase.machine import CONFIG, IMAGEN, Run

NAMES = ("URL", "KEY", "OWNER")
GIVEN = {name: os.environ.get(f"IMAGEN_LIVE_SUPABASE_{name}", "") for name in NAMES}
MISSING = [f"$IMAGEN_LIVE_SUPABASE_{name}" for name in NAMES if not GIVEN[name]]


@pytest.mark.live
@pytest.mark.skipif(bool(MISSING), reason=f"needs a real project: {', '.join(MISSING)}")
def test_a_real_project_takes_a_row_and_an_image_and_gives_them_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "imagen.yaml").write_text(CONFIG.format(owner=GIVEN["OWNER"]))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "IMAGEN_CONFIG": "imagen.yaml",
        "MAI_FROM_ID": "imagen-live-test",
        "SUPABASE_URL": GIVEN["URL"],
        "SUPABASE_SERVICE_KEY": GIVEN["KEY"],
    }

    def run(*words: str) -> Run:
        process = subprocess.run(
            [IMAGEN, *words],
            capture_output=True,
            cwd=tmp_path,
            env=env,
            timeout=120,
            check=False,
        )
        done = Run(process.returncode, process.stdout, process.stderr)
        assert done.code == 0, done.err
        return done

    [made] = run("generate", "a fox", "--json", "-o", "fox.png").objects
    run("sync")
    run("sync")

    raw = run("usage", "--raw", "--json").objects
    assert [each["id"] for each in raw].count(made["usage_id"]) == 1
    listed = run("history", "--cloud", "--json", "--limit", "0").objects
    assert [each["id"] for each in listed].count(made["id"]) == 1
    run("fetch", made["id"], "-o", "back.png")
    assert (tmp_path / "back.png").read_bytes() == (tmp_path / "fox.png").read_bytes()
    notes = [(tmp_path / f"{name}.png.json").read_bytes() for name in ("back", "fox")]
    assert json.loads(notes[0]) == json.loads(notes[1])

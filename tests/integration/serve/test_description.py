"""The API, tested from its OpenAPI description."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.serve.running import Running

SENSE = "positive_data_acceptance"
"""A schema cannot say that bytes must be an image, or that a key was used before."""
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = {
        "backends": {"mock": {"adapter": "mock", "size": "16x16"}},
        "serve": {"megapixels": 0.05, "prompt": 500, "count": 3},
    }
    with Running(tmp_path_factory.mktemp("described"), config) as running:
        yield running


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not installed")
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("phase", "excluded"),
    [
        # Schemathesis takes an unknown header for a violation of the schema.
        ("coverage", f"{SENSE},negative_data_rejection"),
        ("fuzzing", SENSE),
    ],
    ids=["every limit", "by chance"],
)
def test_every_response_matches_the_openapi_description(
    running: Running, phase: str, excluded: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", f"{running.url}/schema/openapi.json"),
            *("--phases", phase, "--exclude-checks", excluded, "--no-color"),
            *("--max-examples", "60", "--seed", "7", "--suppress-health-check", "all"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.returncode == 0, done.stdout + running.log.read_text()[-3000:]
    assert "Tested: 11" in done.stdout
    assert "internal error" not in running.log.read_text()


def test_the_description_has_the_limits_of_the_config(running: Running) -> None:
    said = running.http.get("/schema").json()

    fields = said["components"]["schemas"]["GenerationFields"]["properties"]
    assert fields["prompt"]["maxLength"] == 500
    assert fields["size"]["anyOf"][0]["pattern"].startswith("^(auto|")
    assert fields["n"]["anyOf"][0]["maximum"] == 3
    assert "cdn" not in json.dumps(said)


def test_the_description_has_json_and_event_stream_responses(running: Running) -> None:
    paths = running.http.get("/schema").json()["paths"]

    for path in ("/v1/images/generations", "/v1/images/edits"):
        content = paths[path]["post"]["responses"]["200"]["content"]
        assert content.keys() == {"application/json", "text/event-stream"}

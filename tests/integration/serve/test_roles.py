"""Keys in a file: roles, budgets, and SIGHUP."""

import signal
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.integration.serve.conftest import running_probe
from tests.integration.serve.running import GENERATIONS, Running, until

from imagen.cli.app import main
from imagen.domain.errors import Misconfigured
from imagen.server.keys_file import read_keys

ASKED = {"prompt": "a cat", "size": "64x64"}
PAID = {**ASKED, "model": "paid"}
IMAGES, SESSION = "/gallery/api/images", "/gallery/api/session"
JOBS = "/gallery/api/jobs"
READER, MAKER, ADMIN, LATER = (f"0123456789abcdef-{name}" for name in "rmal")


def entry(key: str, **fields: Any) -> Mapping[str, Any]:
    return {"sha256": sha256(key.encode()).hexdigest(), **fields}


KEYS = {
    "reader": entry(READER, role="read"),
    "maker": entry(MAKER, day_usd=0.001),
    "boss": entry(ADMIN, role="admin"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("roles")
    file = folder / "keys.yaml"
    file.write_text(yaml.safe_dump(KEYS))
    config = {
        "backends": {
            "paid": {"adapter": "mock", "price": 0.04, "size": "64x64"},
            "probe": {"adapter": "many"},
        },
        "default_backend": "mock",
        "serve": {"workers": 1, "keys_file": str(file)},
    }
    with running_probe(folder, config, addr="0.0.0.0:0") as running:
        yield running


def ask(
    running: Running, key: str, method: str, path: str, **sent: Any
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return running.http.request(method, path, headers=headers, **sent)


def test_each_role_may_do_what_it_says(running: Running) -> None:
    [image] = ask(running, ADMIN, "POST", GENERATIONS, json=ASKED).json()["data"]
    page = f"{IMAGES}/{image['id']}"
    steps: list[tuple[str, str, Any, dict[str, int]]] = [
        ("GET", "/v1/models", None, {READER: 200, MAKER: 200, ADMIN: 200}),
        ("GET", f"{page}/file", None, {READER: 200, MAKER: 200, ADMIN: 200}),
        ("POST", GENERATIONS, ASKED, {READER: 403, MAKER: 200, ADMIN: 200}),
        (
            "POST",
            "/openai/v1/images/generations",
            ASKED,
            {READER: 403, MAKER: 200, ADMIN: 200},
        ),
        ("POST", "/v1/images/edits", ASKED, {READER: 403, MAKER: 400, ADMIN: 400}),
        # Without the Idempotency-Key that they need.
        ("POST", f"{page}/again", {}, {READER: 403, MAKER: 400, ADMIN: 400}),
        ("POST", JOBS, ASKED, {READER: 403, MAKER: 400, ADMIN: 400}),
        ("GET", "/metrics", None, {READER: 403, MAKER: 403, ADMIN: 200}),
        ("HEAD", "/metrics", None, {READER: 403, MAKER: 403, ADMIN: 200}),
        ("DELETE", page, None, {READER: 403, MAKER: 403, ADMIN: 200}),
        ("POST", f"{page}/undo", None, {READER: 403, MAKER: 403, ADMIN: 200}),
    ]
    for method, path, body, statuses in steps:
        for key, status in statuses.items():
            answer = ask(running, key, method, path, json=body)
            assert answer.status_code == status, (method, path, key, answer.text)
    refused = ask(running, READER, "POST", GENERATIONS, json=ASKED).json()["error"]
    assert refused["code"] == "insufficient_role"
    assert "'reader' has the role read; this request needs make" in refused["message"]


def test_only_an_administrator_cancels_the_job_of_another_key(running: Running) -> None:
    def start(key: str) -> str:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"job of {key}"}
        asked = {**ASKED, "prompt": "wait for roles", "model": "probe"}
        return str(running.http.post(JOBS, json=asked, headers=headers).json()["id"])

    def cancel(key: str, job: str) -> int:
        return ask(running, key, "DELETE", f"/v1/jobs/{job}").status_code

    of_admin, of_maker = start(ADMIN), start(MAKER)

    assert [cancel(key, of_admin) for key in (READER, MAKER, ADMIN)] == [403, 404, 200]
    assert cancel(ADMIN, of_maker) == 200


def test_readiness_needs_no_key(running: Running) -> None:
    until(lambda: running.http.get("/ready").status_code == 200)

    parts = ("status", "account", "disk", "workers", "backends")
    assert running.http.get("/ready").json() == dict.fromkeys(parts, "ok")


def test_a_session_has_the_role_of_its_key(running: Running) -> None:
    with running.client() as client:
        assert client.post(SESSION, json={"key": READER}).json()["role"] == "read"
        assert client.get(SESSION).json()["role"] == "read"
        assert client.get(IMAGES).status_code == 200
        assert client.post(GENERATIONS, json=ASKED).status_code == 403
        assert client.get("/metrics").status_code == 403
        assert client.delete(SESSION).status_code == 200


def test_sighup_reads_keys_roles_and_budgets_again(running: Running) -> None:
    file = running.folder / "keys.yaml"
    over = ask(running, MAKER, "POST", GENERATIONS, json=PAID)
    assert (over.status_code, "maker" in over.text) == (402, True)
    changed = {"maker": entry(MAKER), "later": entry(LATER, day_usd=0.001)}
    file.write_text(yaml.safe_dump(changed))

    running.send_signal(signal.SIGHUP)
    until(lambda: "reloaded 2 keys" in running.log.read_text())

    assert ask(running, READER, "GET", "/v1/models").status_code == 401
    assert ask(running, MAKER, "POST", GENERATIONS, json=PAID).status_code == 200
    assert ask(running, LATER, "POST", GENERATIONS, json=PAID).status_code == 402
    file.write_text("{}")
    running.send_signal(signal.SIGHUP)
    until(lambda: "the old ones stay" in running.log.read_text())
    assert ask(running, MAKER, "GET", "/v1/models").status_code == 200
    assert running.http.get("/v1/models").status_code == 401
    text = running.log.read_text()
    assert not any(key in text for key in (READER, MAKER, ADMIN, LATER))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "has no key"),
        ("[]", "a mapping"),
        ("team: {role: make}", "sha256"),
        ("team: {sha256: abc}", "64 hexadecimal digits"),
        (f"team: {{sha256: '{'a' * 64}', role: owner}}", "role"),
        (f"team: {{sha256: '{'a' * 64}', rolle: make}}", "did you mean role"),
        (f"a: {{sha256: &s '{'a' * 64}'}}\nb: {{sha256: *s}}", ""),
        (f"a: {{sha256: '{'a' * 64}'}}\nb: {{sha256: '{'a' * 64}'}}", "the same key"),
    ],
)
def test_an_error_in_the_file_of_keys_is_explained(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)

    with pytest.raises(Misconfigured) as caught:
        read_keys(file)

    assert says in caught.value.message
    assert str(file) in caught.value.message


def test_without_the_file_of_keys_the_server_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "imagen.yaml"
    config.write_text("serve: {keys_file: missing.yaml}")

    assert main(["serve", "--config", str(config)]) == 2

    assert "missing.yaml cannot be read" in capsys.readouterr().err

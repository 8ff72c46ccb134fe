"""API keys, Host headers, origins, listen addresses."""

import base64
import json
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import IMAGEN, Running

GENERATIONS = "/v1/images/generations"
ASKED = {"prompt": "a cat", "size": "64x64"}
KEY, OTHER = "0123456789abcdef-writer", "fedcba9876543210"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("locked")
    env = {"IMAGEN_SERVE_KEYS": f"writer:{KEY}, {OTHER}"}
    with Running(folder, {"serve": {"hosts": ["images.example.org"]}}, env=env) as it:
        yield it


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {KEY}x"}],
    ids=["none", "wrong", "nearly right"],
)
def test_requests_without_a_valid_key_are_rejected(
    locked: Running, headers: dict[str, str]
) -> None:
    with locked.client(headers=headers) as client:
        for path in ("/v1/models", "/metrics", "/schema/openapi.json", "/nowhere"):
            assert client.get(path).status_code == 401
        answer = client.post(GENERATIONS, json=ASKED)

        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.get("/health").status_code == 200


def test_the_caller_is_the_owner_of_the_key(locked: Running) -> None:
    basic = base64.b64encode(f"anybody:{KEY}".encode()).decode()
    for number, (credentials, caller) in enumerate(
        [
            (f"Bearer {KEY}", "writer"),
            (f"Basic {basic}", "writer"),
            (f"Bearer {OTHER}", "key-"),
        ]
    ):
        prompt = f"asked {number}"
        with locked.client(headers={"Authorization": credentials}) as client:
            answer = client.post(GENERATIONS, json={**ASKED, "prompt": prompt})
        assert answer.status_code == 200, answer.text
        [note] = locked.images.glob(f"*asked-{number}*.json")
        assert json.loads(note.read_bytes())["caller"].startswith(caller)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", ""])
def test_an_unknown_host_header_is_rejected(client: httpx.Client, host: str) -> None:
    answer = client.get("/health", headers={"Host": host})

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8080", "10.1.2.3"])
def test_ip_addresses_and_localhost_are_accepted_as_host(
    client: httpx.Client, host: str
) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_host_of_the_config_is_accepted(locked: Running) -> None:
    with locked.client() as client:
        answer = client.get("/health", headers={"Host": "images.example.org"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_cannot_generate(
    client: httpx.Client, server: Running, headers: dict[str, str]
) -> None:
    before = server.stored

    answer = client.post(GENERATIONS, json=ASKED, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "cross_origin"
    assert server.stored == before


def test_a_page_of_the_same_origin_can_generate(
    client: httpx.Client, server: Running
) -> None:
    answer = client.post(GENERATIONS, json=ASKED, headers={"Origin": server.url})
    assert answer.status_code == 200


@pytest.mark.parametrize("addr", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"])
def test_a_public_address_requires_keys(tmp_path: Path, addr: str) -> None:
    done = subprocess.run(
        [IMAGEN, "serve", "--addr", addr],
        env={"HOME": str(tmp_path), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "IMAGEN_SERVE_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_address_works_with_keys(serve: Serve) -> None:
    running = serve(env={"IMAGEN_SERVE_KEYS": f"x:{KEY}"}, addr="0.0.0.0:0")
    with running.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("keys", "says"),
    [("short", "too short"), (f"a:{KEY},b:{KEY}", "twice")],
)
def test_invalid_keys_are_rejected_and_not_printed(
    tmp_path: Path, keys: str, says: str
) -> None:
    done = subprocess.run(
        [IMAGEN, "serve"],
        env={"HOME": str(tmp_path), "PATH": "/bin", "IMAGEN_SERVE_KEYS": keys},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert says in done.stderr
    assert KEY not in done.stderr
    assert "short" not in done.stderr.replace("too short", "")


def test_no_response_contains_a_path_of_the_disk(serve: Serve) -> None:
    running = serve({"output": {"dir": "/proc/nowhere"}})
    with running.client() as client:
        answers = [
            client.post(GENERATIONS, json=ASKED),
            client.post(GENERATIONS, json={**ASKED, "response_format": "url"}),
            client.post(GENERATIONS, json={**ASKED, "style": "nonsense"}),
            client.get("/v1/models"),
            client.get("/metrics"),
            client.get("/v1/files/../../etc/passwd"),
            client.get("/schema/openapi.json"),
        ]

    for answer in answers:
        for place in ("/proc/nowhere", str(running.account), str(running.images)):
            assert place not in answer.text
            assert place not in str(answer.headers)


def test_a_damaged_database_is_a_server_error_not_an_exceeded_budget(
    serve: Serve, tmp_path: Path
) -> None:
    account = tmp_path / "damaged"
    account.mkdir(mode=0o700)
    (account / "imagen.sqlite3").write_bytes(b"no database" * 1000)
    paid = {"adapter": "mock", "price": 0.04}
    running = serve(
        {"backends": {"paid": paid}, "budget": {"day_usd": 1}},
        env={"IMAGEN_DATA_DIR": str(account)},
    )
    with running.client() as client:
        answers = [
            client.post(GENERATIONS, json={**ASKED, "stream": stream})
            for stream in (False, True)
        ]

    for answer in answers:
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "journal_error"
        assert str(account) not in answer.text
    assert str(account) in running.log.read_text()

"""Who may come in, and how."""

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
def test_without_its_key_nobody_comes_in(
    locked: Running, headers: dict[str, str]
) -> None:
    with locked.client(headers=headers) as client:
        for path in ("/v1/models", "/metrics", "/schema/openapi.json", "/nowhere"):
            assert client.get(path).status_code == 401
        answer = client.post(GENERATIONS, json=ASKED)

        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.get("/health").status_code == 200


def test_the_caller_is_whose_key_it_is(locked: Running) -> None:
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
def test_a_name_that_is_not_ours_is_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/health", headers={"Host": host})

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8080", "10.1.2.3"])
def test_an_address_and_this_machine_are_ours(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_name_of_the_config_is_ours(locked: Running) -> None:
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
def test_a_page_of_another_site_makes_nothing(
    client: httpx.Client, server: Running, headers: dict[str, str]
) -> None:
    before = server.stored

    answer = client.post(GENERATIONS, json=ASKED, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "cross_origin"
    assert server.stored == before


def test_a_page_of_ours_may(client: httpx.Client, server: Running) -> None:
    answer = client.post(GENERATIONS, json=ASKED, headers={"Origin": server.url})
    assert answer.status_code == 200


@pytest.mark.parametrize("addr", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"])
def test_others_reach_it_only_with_keys(tmp_path: Path, addr: str) -> None:
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


def test_with_keys_they_do(serve: Serve) -> None:
    running = serve(env={"IMAGEN_SERVE_KEYS": f"x:{KEY}"}, addr="0.0.0.0:0")
    with running.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("keys", "says"),
    [("short", "too short"), (f"a:{KEY},b:{KEY}", "twice")],
)
def test_keys_that_are_no_good_are_refused_and_not_shown(
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


def test_no_answer_has_a_path_of_the_disk(serve: Serve) -> None:
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


def test_a_budget_that_cannot_be_checked_is_no_budget_that_says_no(
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

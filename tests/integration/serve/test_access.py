"""API keys, Host headers, origins, listen addresses, sessions."""

import base64
import json
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.integration.serve.conftest import KEY, OTHER, Serve
from tests.integration.serve.running import GENERATIONS, Running, until

from imagen.cli.app import main

ASKED = {"prompt": "a cat", "size": "64x64"}
IMAGES, SESSION = "/gallery/api/images", "/gallery/api/session"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("nonsense"),
        bearer(f"{KEY}x"),
        {"api-key": "nonsense"},
        {"api-key": f"{KEY}x", **bearer(KEY)},
        {"x-api-key": KEY},
        {"Cookie": f"imagen_session={KEY}"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"},
    ],
    ids=["no", "wrong", "long", "azure", "both", "other", "cookie", "forwarded"],
)
def test_requests_without_a_valid_key_are_rejected(
    guarded: Running, headers: dict[str, str]
) -> None:
    for path in (
        *("/v1/models", "/metrics", "/schema/openapi.json", "/nowhere"),
        *("/openai/v1/models", "/openai/deployments/mock/images/generations"),
        *("/v1/images/edits/json", "/health/../v1/models", "//v1/models"),
    ):
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = guarded.http.request(method, path, headers=headers)
            assert answer.status_code == 401
    for path in (
        *(GENERATIONS, "/v1/images/edits", "/v1/images/variations"),
        *("/openai/v1/images/generations", "/openai/deployments/x/images/edits"),
    ):
        answer = guarded.http.post(path, json=ASKED, headers=headers)

        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert guarded.http.get("/health", headers=headers).status_code == 200


def test_the_caller_is_the_owner_of_the_key(guarded: Running) -> None:
    basic = base64.b64encode(f"anybody:{KEY}".encode()).decode()
    for number, (credentials, caller) in enumerate(
        [
            (f"Bearer {KEY}", "writer"),
            (f"Basic {basic}", "writer"),
            (f"Bearer {OTHER}", "key-"),
        ]
    ):
        asked = {**ASKED, "prompt": f"asked {number}"}
        headers = {"Authorization": credentials}
        answer = guarded.http.post(GENERATIONS, json=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        [note] = guarded.images.glob(f"*asked-{number}*.json")
        assert json.loads(note.read_bytes())["caller"].startswith(caller)


def test_a_budget_of_a_key_limits_only_that_key(guarded: Running) -> None:
    asked = {**ASKED, "model": "paid"}
    poor, rich = (
        guarded.http.post(GENERATIONS, json=asked, headers=bearer(key))
        for key in (KEY, OTHER)
    )

    assert poor.status_code == 402
    assert poor.json()["error"]["code"] == "insufficient_quota"
    assert "day_usd of writer" in poor.json()["error"]["message"]
    assert rich.status_code == 200


def test_another_caller_may_use_the_same_idempotency_key(guarded: Running) -> None:
    found = [
        guarded.http.post(
            GENERATIONS, json=ASKED, headers={**bearer(key), "Idempotency-Key": "one"}
        ).json()["data"][0]["id"]
        for key in (KEY, OTHER)
    ]

    assert len(set(found)) == 2


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3", 200),
        ("images.example.org", 200),  # in the config
    ],
)
def test_only_known_host_headers_are_accepted(
    guarded: Running, host: str, status: int
) -> None:
    assert guarded.http.get("/health", headers={"Host": host}).status_code == status


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


def test_a_page_of_another_site_cannot_use_the_key_of_a_browser(
    guarded: Running,
) -> None:
    """Only a key that no browser sends by itself skips the checks."""
    basic = base64.b64encode(f"anybody:{KEY}".encode()).decode()
    before = guarded.stored
    with guarded.client() as client:
        client.post(SESSION, json={"key": KEY})
        session = {"Cookie": "; ".join(f"{k}={v}" for k, v in client.cookies.items())}
    for credentials in (session, {"Authorization": f"Basic {basic}"}, {}):
        for path in (GENERATIONS, "/openai/v1/images/generations"):
            headers = {"Origin": "https://evil.example", **credentials}
            answer = guarded.http.post(path, json=ASKED, headers=headers)
            assert (answer.status_code, guarded.stored) == (403, before)
        headers = {"Host": "evil.example", **credentials}
        assert guarded.http.get("/v1/models", headers=headers).status_code == 421

    headers = {"Host": "host.docker.internal:8080", **bearer(KEY)}
    assert guarded.http.get("/v1/models", headers=headers).status_code == 200


def test_what_is_not_http_is_logged_with_its_address(server: Running) -> None:
    begun = len(server.log.read_text())
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")

    logged = server.log.read_text()[begun:]
    assert "imagen: request from 127.0.0.1 is not valid HTTP: 400\n" in logged
    assert "Invalid HTTP request received" not in logged


def test_a_page_of_another_site_cannot_delete(shop: Running) -> None:
    [image] = shop.ask().json()["data"]
    headers = {"Origin": "https://evil.example"}

    answer = shop.http.delete(f"{IMAGES}/{image['id']}", headers=headers)

    assert answer.status_code == 403
    assert len(shop.stored) == 1


def test_a_page_of_the_same_origin_can_generate(
    client: httpx.Client, server: Running
) -> None:
    answer = client.post(GENERATIONS, json=ASKED, headers={"Origin": server.url})
    assert answer.status_code == 200


@pytest.mark.parametrize("addr", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"])
def test_a_public_address_requires_keys(
    cli_environment: None, capsys: pytest.CaptureFixture[str], addr: str
) -> None:
    assert main(["serve", "--addr", addr]) == 2

    said = capsys.readouterr().err
    assert "IMAGEN_SERVE_KEYS" in said
    assert "Traceback" not in said


def test_a_public_address_works_with_keys(guarded: Running) -> None:
    answer = guarded.http.get("/v1/models", headers=bearer(KEY))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("keys", "says"),
    [("short", "too short"), (f"a:{KEY},b:{KEY}", "twice")],
)
def test_invalid_keys_are_rejected_and_not_printed(
    cli_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keys: str,
    says: str,
) -> None:
    monkeypatch.setenv("IMAGEN_SERVE_KEYS", keys)

    assert main(["serve"]) == 2

    said = capsys.readouterr().err
    assert says in said
    assert KEY not in said
    assert "short" not in said.replace("too short", "")


@pytest.fixture
def cli_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("IMAGEN_SERVE_KEYS", raising=False)


def test_no_response_contains_a_path_of_the_disk(serve: Serve) -> None:
    running = serve({"output": {"dir": "/proc/nowhere"}})
    client = running.http
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
        IMAGEN_DATA_DIR=str(account),
    )
    for stream in (False, True):
        answer = running.ask(stream=stream)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "misconfigured"
        assert str(account) not in answer.text
    assert str(account) in running.log.read_text()


def test_the_config_sets_origins_proxies_and_connections(serve: Serve) -> None:
    app = "https://app.example.org"
    running = serve(
        {
            "serve": {
                "workers": 1,
                "connections": 3,
                "hosts": ["images.example.org"],
                "origins": [app],
                "trusted_proxies": ["127.0.0.1"],
            }
        }
    )
    forwarded = {
        "X-Forwarded-Host": "images.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.7",
    }
    answer = running.http.post(
        GENERATIONS,
        json={**ASKED, "response_format": "url"},
        headers={"Origin": app, **forwarded},
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == app
    [image] = answer.json()["data"]
    assert image["url"].startswith("https://images.example.org/v1/files/")
    for headers, secure in ((forwarded, True), ({}, False)):
        left = running.http.delete(SESSION, headers=headers)
        assert ("secure" in left.headers["set-cookie"].lower()) is secure
    until(lambda: f" 203.0.113.7 - POST {GENERATIONS} 200 " in running.log.read_text())
    with ExitStack() as opened:
        sockets = [
            opened.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            for _ in range(4)
        ]
        assert sockets[-1].recv(99).startswith(b"HTTP/1.1 503 ")


# Sessions of the gallery


def test_a_key_is_exchanged_for_a_session_cookie(guarded: Running) -> None:
    with guarded.client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/gallery/static/app.js").status_code == 200
        assert client.get(IMAGES).status_code == 401
        assert client.get(SESSION).json()["locked"] is True
        wrong = client.post(SESSION, json={"key": f"{KEY}x"})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers

        opened = client.post(SESSION, json={"key": KEY})

        cookie = opened.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert KEY not in cookie
        assert client.get(SESSION).json()["caller"] == "writer"
        assert client.get(IMAGES).status_code == 200
        [image] = client.post(GENERATIONS, json=ASKED).json()["data"]
        details = client.get(f"{IMAGES}/{image['id']}").json()
        assert details["sidecar"]["caller"] == "writer"

        [(name, value)] = client.cookies.items()
        client.delete(SESSION)
        client.cookies.clear()
        assert client.get(IMAGES).status_code == 401

        until, _, signature = value.partition(".")
        forged = f"{int(until) + 1}.{signature}"
        for each in (forged, "", ".", "1.x", f"{until}.", "é.ü", "9" * 5000 + ".x"):
            headers = {b"cookie": f"{name}={each}".encode()}
            assert client.get(IMAGES, headers=headers).status_code == 401


def test_sessions_are_of_one_server_and_end_when_their_key_is_removed(
    guarded: Running, serve: Serve
) -> None:
    third = "0123456789abcdef-reader"
    other = serve(IMAGEN_SERVE_KEYS=f"reader:{third},guest:{OTHER}")
    cookies = httpx.Cookies()
    with guarded.client() as client:
        client.post(SESSION, json={"key": KEY})
        cookies.update(client.cookies)
    with other.client(cookies=cookies) as client:
        # Browsers send the cookies of one server on a host to the others, too.
        assert client.get(IMAGES).status_code == 401
        client.post(SESSION, json={"key": third})
        assert client.get(SESSION).json()["caller"] == "reader"
        cookies.update(client.cookies)
    with guarded.client(cookies=cookies) as client:
        assert client.get(SESSION).json()["caller"] == "writer"
    guest = other.client()
    guest.post(SESSION, json={"key": OTHER})
    image = guest.post(GENERATIONS, json={**ASKED, "response_format": "url"}).json()

    other.stop()
    other.env["IMAGEN_SERVE_KEYS"] = f"guest:{OTHER}"
    other.start()

    with other.client(cookies=cookies) as client:
        assert client.get(IMAGES).status_code == 401
        path = httpx.URL(image["data"][0]["url"]).raw_path.decode()
        assert client.get(path).status_code == 200  # signed URLs stay valid, too
    with other.client(cookies=dict(guest.cookies)) as client:
        assert client.get(SESSION).json()["caller"] == "guest"
    guest.close()

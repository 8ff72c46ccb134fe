"""Which requests reach the application, from which hosts, sites and proxies."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.server.asking import Headers, ask, echo

from imagen.server.http.forwarded import TrustedProxies
from imagen.server.http.middleware import AccessMiddleware
from imagen.server.http.origins import Origins
from imagen.server.keys import ApiKeys, Caller, digest_key, parse_keys

KEY, WRONG = "0123456789abcdef-writer", "0123456789abcdef-wrong"
APP = "https://app.example.org"
EVIL = [("Origin", "https://evil.example")]
BEARER, AZURE = [("Authorization", f"Bearer {KEY}")], [("api-key", KEY)]
BASIC = [("Authorization", "Basic dTowMTIzNDU2Nzg5YWJjZGVmLXdyaXRlcg==")]


def server(
    keys: str = f"writer:{KEY}", proxies: tuple[str, ...] = (), **names: Any
) -> AccessMiddleware:
    session = Caller(name="browser")
    return AccessMiddleware(
        echo,
        keys=parse_keys(keys),
        origins=Origins(**names),
        proxies=TrustedProxies(proxies),
        session_of=lambda cookies: session if cookies == b"good" else None,
    )


@pytest.mark.parametrize("key", [BEARER, AZURE], ids=["Bearer", "api-key"])
@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("host.docker.internal:8080", []),
        ("localhost", EVIL),
        ("evil.example", EVIL),
        ("localhost", [("Sec-Fetch-Site", "cross-site")]),
    ],
)
def test_a_valid_key_skips_the_checks_of_host_and_origin(
    key: Headers, host: str, headers: Headers
) -> None:
    answer = ask(server(), "POST", headers=[*key, *headers], host=host)

    assert answer.status_code == 200
    assert answer.text.endswith("writer admin")


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        [("Authorization", f"Bearer {WRONG}")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {KEY}x")],
        [("Authorization", KEY)],
        [("api-key", WRONG)],
        [("api-key", WRONG), *BEARER],
        # Browsers send these by themselves, with the requests of any page.
        BASIC,
        [("Cookie", "good")],
    ],
)
@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [("evil.example", [], 421), ("localhost", EVIL, 403), ("evil.example", EVIL, 421)],
)
def test_nothing_else_skips_them(
    credentials: Headers, host: str, headers: Headers, status: int
) -> None:
    for keys in (f"writer:{KEY}", ""):
        if keys or credentials != [("api-key", WRONG), *BEARER]:
            answer = ask(
                server(keys), "POST", headers=[*credentials, *headers], host=host
            )
            assert answer.status_code == status


@pytest.mark.parametrize("credentials", [BASIC, [("Cookie", "good")]])
def test_a_browser_with_credentials_is_admitted_on_the_same_site(
    credentials: Headers,
) -> None:
    origin = [("Origin", "http://localhost")]
    assert ask(server(), "POST", headers=[*credentials, *origin]).status_code == 200


def test_rejections_name_what_was_received_and_what_to_configure() -> None:
    host = ask(server(), host="host.docker.internal:8080").json()["error"]["message"]
    site = ask(server(), "POST", headers=EVIL).json()["error"]["message"]

    assert "'host.docker.internal:8080'" in host
    assert "`serve.hosts`" in host
    assert "Origin: https://evil.example" in site
    assert "`serve.origins`" in site


def test_two_host_headers_are_400() -> None:
    for headers in ([("Host", "localhost")], [("Host", "localhost"), *BEARER]):
        assert ask(server(), headers=headers).status_code == 400


@pytest.mark.parametrize(
    "origin", ["https://images.example.org", APP, "HTTPS://App.example.org"]
)
def test_pages_of_the_own_url_and_of_configured_origins_are_admitted(
    origin: str,
) -> None:
    app = server("", url="https://images.example.org/pictures", origins=[APP])
    for host in ("localhost", "images.example.org"):
        headers = [("Origin", origin)]
        assert ask(app, "POST", headers=headers, host=host).status_code == 200


# CORS

PREFLIGHT = [
    ("Access-Control-Request-Method", "POST"),
    ("Access-Control-Request-Headers", "authorization,content-type"),
]


def cors(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "access-control-"
    return {k.removeprefix(prefix): v for k, v in headers.items() if prefix in k}


def test_a_preflight_of_a_configured_origin_needs_no_key_and_no_known_host() -> None:
    headers = [("Origin", APP), *PREFLIGHT]
    answer = ask(
        server(origins=[APP]), "OPTIONS", headers=headers, host="host.docker.internal"
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert cors(answer.headers)["allow-origin"] == APP
    assert cors(answer.headers)["allow-headers"] == "authorization,content-type"
    assert "POST" in cors(answer.headers)["allow-methods"]
    assert "allow-credentials" not in cors(answer.headers)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", f"{APP}.evil.example", f"{APP}:444", ""],
)
def test_a_preflight_of_another_origin_is_403(origin: str) -> None:
    headers = [("Origin", origin), *PREFLIGHT]
    answer = ask(server(origins=[APP]), "OPTIONS", headers=headers)

    assert answer.status_code == 403
    assert cors(answer.headers) == {}


@pytest.mark.parametrize("key", [BEARER, []], ids=["key", "no key"])
def test_pages_of_a_configured_origin_can_read_every_response(key: Headers) -> None:
    answer = ask(server(origins=[APP]), headers=[("Origin", APP), *key])

    assert answer.status_code == (200 if key else 401)
    assert cors(answer.headers)["allow-origin"] == APP
    assert "X-Request-Id" in cors(answer.headers)["expose-headers"]
    assert answer.headers["vary"] == "Origin"


def test_pages_of_another_origin_can_read_no_response() -> None:
    answer = ask(server(origins=[APP]), headers=[*EVIL, *BEARER])

    assert answer.status_code == 200
    assert cors(answer.headers) == {}
    assert answer.headers["vary"] == "Origin"


# Proxies

FORWARDED = [
    ("X-Forwarded-Host", "images.example.org"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-For", "203.0.113.7"),
]


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "::ffff:10.1.2.3"),
        ("fd00::/8", "fd00::1"),
        ("unix", ""),
    ],
)
def test_a_trusted_proxy_names_host_scheme_and_client(
    trusted: str, client: str
) -> None:
    app = server("", (trusted,), hosts=["images.example.org"])
    answer = ask(app, headers=FORWARDED, host="proxy.internal", client=client)

    assert answer.text.startswith(
        "GET /v1/models https images.example.org 203.0.113.7 "
    )


@pytest.mark.parametrize("client", ["10.1.2.4", "", "x", "192.0.2.1"])
def test_nobody_else_can_claim_a_host(client: str) -> None:
    app = server("", ("10.1.2.3",), hosts=["images.example.org"])
    refused = ask(app, headers=FORWARDED, host="evil.example", client=client)
    kept = ask(app, headers=FORWARDED, client=client)

    assert refused.status_code == 421
    assert kept.text.startswith("GET /v1/models http localhost ")


def test_only_the_value_that_the_nearest_proxy_added_counts() -> None:
    app = server("", ("10.0.0.0/8",), hosts=["images.example.org"])
    spoofed = [
        ("X-Forwarded-Host", "images.example.org"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "127.0.0.1, 203.0.113.7, 10.9.9.9"),
        ("X-Forwarded-Proto", "gopher"),
    ]
    assert ask(app, headers=spoofed, client="10.1.2.3").status_code == 421
    answer = ask(app, headers=spoofed[2:], client="10.1.2.3")
    assert answer.text.startswith("GET /v1/models http localhost 203.0.113.7 ")


# Paths


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/pictures/", "/"),
        ("/pictures/v1/models", "/v1/models"),
        ("/v1/models", "/v1/models"),  # the proxy has removed the base path
        ("/picturesque", "/picturesque"),
        ("/pictures/openai/v1/models", "/v1/models"),
        ("/openai/models/a/b", "/v1/models/a/b"),
        ("/openai/deployments/a/b/images/edits", "/v1/images/edits"),
        (
            "/openai/deployments/x/chat/completions",
            "/openai/deployments/x/chat/completions",
        ),
    ],
)
def test_a_path_is_that_of_a_route(path: str, route: str) -> None:
    app = AccessMiddleware(echo, keys=parse_keys(""), base_path="/pictures")
    for method in ("GET", "POST"):
        assert ask(app, method, path).text.split()[:2] == [method, route]


def test_the_base_path_without_a_slash_is_redirected() -> None:
    app = AccessMiddleware(echo, keys=parse_keys(""), base_path="/pictures")
    answer = ask(app, path="/pictures")

    assert (answer.status_code, answer.headers["location"]) == (308, "/pictures/")


def test_a_base_path_opens_no_path_that_needs_a_key() -> None:
    app = AccessMiddleware(
        echo, keys=parse_keys(KEY), base_path="/pictures", open_paths=("/health",)
    )
    statuses = [
        ask(app, path=path).status_code
        for path in ("/pictures/health", "/pictures/v1/models", "/pictures//health")
    ]
    assert statuses == [200, 401, 401]


def test_head_is_get_without_a_body() -> None:
    whole, head = ask(server("")), ask(server(""), "HEAD")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert ask(server(), "HEAD").content == b""


def test_a_websocket_is_refused_like_any_other_request() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run(host: str) -> None:
        scope = {
            "type": "websocket",
            "path": "/v1/models",
            "client": ("127.0.0.1", 1),
            "headers": [(b"host", host.encode())],
        }
        await server()(scope, lambda: None, send)  # type: ignore[arg-type,return-value]

    for host in ("evil.example", "localhost"):
        asyncio.run(run(host))

    assert [message["type"] for message in sent] == ["websocket.close"] * 2


# The log


def test_each_request_is_logged_with_its_id_and_each_failed_login() -> None:
    lines: list[str] = []
    keys = ApiKeys({digest_key(KEY): Caller(name="phone", role="read")})
    app = AccessMiddleware(echo, keys=keys, log=lines.append, open_paths=("/health",))
    wrong = [("Authorization", f"Bearer {WRONG}")]

    first = ask(app, path="/v1/models?signature=hidden", headers=BEARER)
    ask(app, path="/health")
    ask(app, "POST", headers=wrong, client="203.0.113.7")
    ask(app, client="203.0.113.7")

    assert len(lines) == 4
    assert lines[0].startswith(
        f"{first.headers['x-request-id']} 127.0.0.1 phone GET /v1/models 200 "
    )
    assert lines[1] == (
        "failed login from 203.0.113.7: unknown API key for POST /v1/models"
    )
    assert " 203.0.113.7 - POST /v1/models 401 " in lines[2]
    assert " 203.0.113.7 - GET /v1/models 401 " in lines[3]
    assert not any(WRONG in line or "hidden" in line for line in lines)

"""What a plain HTTP client sees of the proxy's faults, and what a failure shows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from runpy import run_path

import httpx
import pytest

from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse
from imagen.testing.proxy import (
    Fault,
    RecordingProxy,
    Respond,
    corrupt,
    cut_off,
    drop,
    reset,
    respond_late,
    respond_page,
    respond_with,
    stay_silent,
)

EXAMPLE = Path(__file__).parents[2] / "examples/imagen-chalk/tests/test_chalk.py"

Open = Callable[..., RecordingProxy]


class PictureStub(Stub):
    def __call__(self, request: RecordedRequest) -> StubResponse:
        if request.path == "/unknown":
            raise LookupError(request.path)
        if request.method == "GET":
            return StubResponse(content=self.picture(64, 64))
        return StubResponse(status=202, json={"id": "d-1"})


@pytest.fixture
def open_proxy() -> Iterator[Open]:
    opened: list[RecordingProxy] = []

    def open_one(*faults: Fault) -> RecordingProxy:
        proxy = RecordingProxy(
            PictureStub(),
            *faults,
            is_submit=lambda request: request.method == "POST",
            is_cancel=lambda request: request.method == "DELETE",
            refuses_with=frozenset(),
        )
        opened.append(proxy)
        return proxy

    yield open_one
    for proxy in opened:
        proxy.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (drop, httpx.RemoteProtocolError),
        (reset, httpx.ReadError),
        (cut_off, httpx.RemoteProtocolError),
        (stay_silent, httpx.ReadTimeout),
    ],
)
def test_a_client_loses_the_response_of_a_job_that_arrived(
    fault: Respond, error: type[Exception], open_proxy: Open
) -> None:
    proxy = open_proxy(Fault(on="submit", respond=fault))

    with pytest.raises(error):
        httpx.post(proxy.url, json={}, timeout=0.2)

    assert [request.arrived for request in proxy.accepted] == [True]


def test_a_client_receives_the_fault_as_often_as_it_occurs(open_proxy: Open) -> None:
    proxy = open_proxy(Fault(on="submit", respond=respond_with(503), times=2))

    statuses = [httpx.post(proxy.url, json={}).status_code for _ in range(3)]

    assert statuses == [503, 503, 202]


def test_a_late_response_is_complete(open_proxy: Open) -> None:
    proxy = open_proxy(Fault(on="submit", respond=respond_late(0.1)))

    assert httpx.post(proxy.url, json={}).json() == {"id": "d-1"}


def test_a_refused_request_does_not_arrive(open_proxy: Open) -> None:
    refuse = respond_with(429, headers={"Retry-After": "7"})
    proxy = open_proxy(Fault(on="submit", respond=refuse, arrives=False))

    response = httpx.post(proxy.url, json={})

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert [request.arrived for request in proxy.requests] == [False]
    assert proxy.accepted == []


@pytest.mark.parametrize("fault", [respond_page, corrupt])
def test_a_file_is_replaced(fault: Respond, open_proxy: Open) -> None:
    proxy = open_proxy(Fault(on="image", respond=fault))

    content = httpx.get(f"{proxy.url}/image").content

    assert content not in proxy.stub.pictures
    assert [request.kind for request in proxy.requests] == ["image"]


def test_requests_after_the_submit_request_are_polls(open_proxy: Open) -> None:
    proxy = open_proxy()
    for method, path in (("GET", "unknown"), ("POST", "jobs"), ("GET", "jobs/unknown")):
        httpx.request(method, f"{proxy.url}/{path}")
    httpx.delete(f"{proxy.url}/jobs/1")

    kinds = [request.kind for request in proxy.requests]
    assert kinds == ["setup", "submit", "image", "cancel"]
    assert proxy.requests[0].status == 404


def test_a_secret_is_found_also_in_base64() -> None:
    login = RecordedRequest(
        method="GET", path="/", headers={"authorization": "Basic YWRhOmNhbmFyeQ=="}
    )

    assert login.has_secret("ada:canary")
    assert not login.has_secret("ada:another")


def test_values_are_found_in_every_form() -> None:
    body = b'{"input": {"width": 64, "scale": 3.0, "on": ["paper"]}}'
    sent = RecordedRequest(method="POST", path="/models/a%2Fb", body=body)

    assert all(sent.has_value(value) for value in (64, 3.0, "paper", "a/b"))
    assert not any(sent.has_value(value) for value in (6, "pap"))
    assert RecordedRequest(method="POST", path="/", body=b"x=a fox").has_text("a fox")


def test_a_failure_shows_the_promise_the_requests_and_the_cause() -> None:
    contract: HttpBackendContract = run_path(str(EXAMPLE))["TestChalk"]()
    (secret,) = contract.secrets.values()
    proxy = contract.open(Fault(on="submit", respond=respond_with(401)))
    backend = contract.create_backend(proxy.url)

    with pytest.raises(AssertionError) as failure:
        contract.test_submits_each_job_once(proxy, backend)
    contract.close()

    (note,) = failure.value.__notes__
    assert "Submits the job once; the caller decides about retries." in note
    assert "submit POST /v1/drawings" in note
    assert "-> 401 application/json" in note
    assert "Usual cause: a retry inside the adapter" in note
    assert secret not in note

"""A server between a backend and the stub of its vendor, which records and fails.

It records every request, and what the client received; and it stages faults: it loses,
delays, cuts off or replaces the response to some requests.
"""

import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET
from threading import Event, Lock, Thread
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from imagen.testing.vendor_stub import RecordedRequest, Stub, StubResponse

KIT_THREAD = "imagen-testing"
"""The name of all threads of the proxy."""

SILENCE = 60.0
"""Seconds for which a silent vendor does not answer, at most."""

ALWAYS = 10**9
_SUCCESS = range(200, 300)
_REFUSALS = frozenset(range(400, 500)) - {408, 425, 499}
"""The statuses with which every vendor says that it has not accepted a job."""


class Fault(msgspec.Struct, kw_only=True, eq=False):
    """A fault of some requests.

    Attributes:
        on: The kind of request; "any" for all.
        respond: Answers the client in its own way.
        arrives: Whether the stub receives the request all the same.
        times: How often the fault occurs, from the first such request.
        text: Only requests with this text.
        hits: How often it has occurred.
    """

    on: str
    respond: "Respond"
    arrives: bool = True
    times: int = ALWAYS
    text: str = ""
    hits: int = 0


class RecordingProxy:
    """A vendor on a local port.

    Attributes:
        url: Its address, without a slash at the end.
        stub: The stub that answers.
        faults: The faults; the first that applies to a request occurs.
        requests: Every request, in the order of arrival.
        timeline: The kinds of the requests, and what the job context was told.
        connections: The number of connections that were opened.
        closing: Set when the server is closed.
    """

    def __init__(
        self,
        stub: Stub,
        *faults: Fault,
        is_submit: Callable[[RecordedRequest], bool],
        is_cancel: Callable[[RecordedRequest], bool],
        refuses_with: frozenset[int],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._refusals = _REFUSALS | refuses_with
        self.stub = stub
        self.faults = list(faults)
        self.requests: list[RecordedRequest] = []
        self.timeline: list[str] = []
        self.connections = 0
        self.closing = Event()
        self.lock = Lock()
        self._is_submit, self._is_cancel = is_submit, is_cancel
        self._server = _Server(self, tls)
        scheme = "http" if tls is None else "https"
        self.url = stub.base_url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        Thread(target=serve, args=(0.01,), daemon=True, name=KIT_THREAD).start()

    def close(self) -> None:
        """End the server and all pending responses."""
        self.closing.set()
        self.stub.interrupted.set()
        self._server.shutdown()
        self._server.server_close()
        self.stub.close()

    @property
    def submits(self) -> list[RecordedRequest]:
        """The requests that submit a job."""
        return self.of("submit")

    @property
    def accepted(self) -> list[RecordedRequest]:
        """The submit requests that the vendor has not certainly refused."""
        return [one for one in self.submits if one.status not in self._refusals]

    def of(self, kind: str) -> list[RecordedRequest]:
        """Return the requests of a kind."""
        return [request for request in self.requests if request.kind == kind]

    def wait_for(self, condition: Callable[[], object], seconds: float = 10) -> bool:
        """Wait until the condition is true, and return whether it is."""
        end = time.monotonic() + seconds  # noqa: TID251 - real threads take real time
        while not condition():
            if time.monotonic() > end:  # noqa: TID251 - as above
                return False
            self.closing.wait(0.005)
        return True

    def note(self, event: str) -> None:
        """Add an event to the timeline."""
        with self.lock:
            self.timeline.append(event)

    def record(self, request: RecordedRequest) -> None:
        """Classify a request and record it."""
        with self.lock:
            if self._is_submit(request):
                request.kind = "submit"
            elif self._is_cancel(request):
                request.kind = "cancel"
            elif self.accepted and not self._is_setup(request):
                request.kind = "poll"
            self.requests.append(request)
            self.timeline.append(request.kind)

    def _is_setup(self, request: RecordedRequest) -> bool:
        """Return whether the same request came before any job was accepted."""
        address = request.method, request.path
        return any((one.method, one.path) == address for one in self.of("setup"))

    def next_fault(self, request: RecordedRequest) -> Fault | None:
        """Return the fault of a request, and count its occurrence."""
        with self.lock:
            for fault in self.faults:
                applies = fault.on in {request.kind, "any"} and fault.hits < fault.times
                if applies and (not fault.text or request.has_text(fault.text)):
                    fault.hits += 1
                    return fault
        return None

    def proves_end(self, *, by_submit: bool) -> bool:
        """Return whether the vendor has told the client that the job has ended.

        Args:
            by_submit: Whether the submit request lasts as long as the job.
        """
        cancelled = False
        for request in self.requests:
            cancelled = cancelled or request.kind == "cancel"
            tells = cancelled and request.kind in {"cancel", "poll"}
            tells = tells or (by_submit and request.kind == "submit")
            if tells and request.status in _SUCCESS:
                return True
        return False

    def describe(self) -> list[str]:
        """Return the recorded requests, a line for each of the first."""
        lines = [request.describe() for request in self.requests[:_MAX_LINES]]
        if more := len(self.requests) - _MAX_LINES:
            lines += [f"and {more} more"] if more > 0 else []
        return lines or ["nothing"]


_MAX_LINES = 12


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The contract sends many requests at once; the default backlog of 5 refuses some.
    request_queue_size = 128

    def __init__(self, proxy: RecordingProxy, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.proxy = proxy
        self._tls = tls

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        threading.current_thread().name = KIT_THREAD
        self.proxy.connections += 1
        if self._tls is not None:
            # Here, because a handshake in the accepting thread would block the server.
            try:
                request = self._tls.wrap_socket(request, server_side=True)
            except OSError:
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Record an error of the stub; a client may close its connection."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.proxy.note(f"the stub failed: {error!r}")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def proxy(self) -> RecordingProxy:
        """The proxy."""
        return cast("_Server", self.server).proxy

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        self.request_record = request = RecordedRequest(
            method=self.command,
            path=parts.path,
            query={name: values[0] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        proxy = self.proxy
        proxy.record(request)
        fault, response = proxy.next_fault(request), StubResponse()
        upgrades = "upgrade" in request.headers and fault is None
        if upgrades and proxy.stub.upgrade(request, self.connection):
            self.close_connection = request.arrived = True
            return
        if fault is None or fault.arrives:
            request.arrived = True
            response = self._ask_stub(request)
            if fault and request.kind == "submit" and response.status in _REFUSALS:
                # A fault of a job that the vendor accepts; it refuses this one.
                fault.hits -= 1
                fault = None
            is_image = response.media_type.startswith("image/")
            # The response to a submit request may be the image itself.
            if fault is None and is_image and request.kind != "submit":
                request.kind = "image"
                fault = proxy.next_fault(request)
        (respond if fault is None else fault.respond)(self, response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the base class

    def _ask_stub(self, request: RecordedRequest) -> StubResponse:
        stub = self.proxy.stub
        try:
            response = stub(request)
        except LookupError:
            return StubResponse(status=404, json={})
        except Exception as error:
            self.proxy.note(f"the stub failed: {error!r}")
            request.answer = f"the stub failed: {error!r}"
            raise
        if request.kind == "cancel":
            stub.interrupted.set()
        return response

    def send(self, response: StubResponse, *, cut: bool = False) -> None:
        """Send a response, or only half of its body."""
        body = response.body
        self.send_response(response.status)
        for name, value in {
            "Content-Type": response.media_type,
            **response.headers,
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        # Recorded before the client can act on it.
        request = self.request_record
        request.answer = f"{response.status} {response.media_type}, {len(body)} bytes"
        if cut:
            request.answer += ", cut off"
        else:
            request.status = response.status
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def hang_up(self, reason: str, *, shut_down: bool = True) -> None:
        """Close the connection."""
        if self.request_record.answer == "no response":
            self.request_record.answer = reason
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            if shut_down:
                self.connection.shutdown(SHUT_RDWR)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing."""


Respond: TypeAlias = Callable[[Handler, StubResponse], None]
"""Answers a client, given the response of the stub."""

StagedResponse: TypeAlias = StubResponse | Callable[[RecordedRequest], StubResponse]
"""A response, or a function that returns it for a request."""


def respond(handler: Handler, response: StubResponse) -> None:
    """Send the response of the stub."""
    handler.send(response)


def respond_as(response: StagedResponse) -> Respond:
    """Return a fault that sends another response."""
    if isinstance(response, StubResponse):
        return lambda handler, _: handler.send(response)
    return lambda handler, _: handler.send(response(handler.request_record))


def respond_with(
    status: int,
    body: bytes = b"{}",
    *,
    headers: Mapping[str, str] | None = None,
) -> Respond:
    """Return a fault that sends a response with this status."""
    other = StubResponse(
        status=status,
        content=body,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    return respond_as(other)


def respond_page(handler: Handler, _: StubResponse) -> None:
    """Send a web page with status 200."""
    page = b"<!doctype html><title>Sign in</title>"
    handler.send(StubResponse(content=page, headers={"Content-Type": "text/html"}))


def reset(handler: Handler, _: StubResponse) -> None:
    """Reset the connection."""
    handler.connection.setsockopt(SOL_SOCKET, SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.hang_up("connection reset", shut_down=False)


def drop(handler: Handler, _: StubResponse) -> None:
    """Close the connection without a response."""
    handler.hang_up("connection closed without a response")


def cut_off(handler: Handler, response: StubResponse) -> None:
    """Send half of the response and close the connection."""
    handler.send(response, cut=True)
    handler.hang_up("cut off")


def corrupt(handler: Handler, response: StubResponse) -> None:
    """Send the file with damaged bytes, or half of it as if it were complete."""
    body = bytearray(response.body)
    # The pixels of a PNG have a checksum; damaged bytes of other formats may be another
    # picture.
    if (pixels := body.find(b"IDAT")) >= 0:
        body[pixels + 6 : pixels + 10] = b"\xff\0\xff\0"
    else:
        del body[len(body) // 2 :]
    handler.send(
        StubResponse(content=bytes(body), headers={"Content-Type": response.media_type})
    )


def stay_silent(handler: Handler, _: StubResponse) -> None:
    """Send nothing, and then close the connection."""
    handler.request_record.answer = "silence"
    handler.proxy.closing.wait(SILENCE)
    handler.hang_up("silence")


def respond_late(seconds: float) -> Respond:
    """Return a fault that sends the response later."""

    def wait(handler: Handler, response: StubResponse) -> None:
        handler.proxy.closing.wait(seconds)
        handler.send(response)

    return wait


def retry_date(moment: datetime) -> str:
    """Return a time as in the header `Retry-After`."""
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")

"""A simulator of a vendor behind the proxy of `HttpBackendContract`."""

from collections.abc import Mapping
from urllib.parse import urlencode

import httpx

from imagen.testing import RecordedRequest, Stub, StubResponse

HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class ForwardingStub(Stub):
    """A stub that forwards each request to a simulator on another port.

    Args:
        upstream: The address of the simulator, such as http://127.0.0.1:8188.
        headers: Sent to the simulator in place of those of the client.
    """

    def __init__(self, upstream: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.upstream = upstream
        self.headers = headers
        self.client = httpx.Client(base_url=upstream, timeout=60)

    def close(self) -> None:
        self.client.close()

    def __call__(self, request: RecordedRequest) -> StubResponse:
        response = self.client.request(
            request.method,
            f"{request.path}?{urlencode(request.query)}",
            headers={
                **{
                    name: value
                    for name, value in request.headers.items()
                    if name not in {*HOP_BY_HOP, "accept-encoding"}
                },
                **self.headers,
            },
            content=request.body,
        )
        # The simulator names itself in its responses.
        own, proxy = self.upstream.encode(), self.base_url.encode()
        return StubResponse(
            status=response.status_code,
            content=response.content.replace(own, proxy),
            headers={
                name: value
                for name, value in response.headers.items()
                if name not in {*HOP_BY_HOP, "date", "server"}
            },
        )

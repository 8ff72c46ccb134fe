"""The faulty responses that `HttpBackendContract` stages, by name."""

from collections.abc import Mapping

from imagen.testing.proxy import (
    Respond,
    corrupt,
    cut_off,
    drop,
    reset,
    respond_page,
    respond_with,
)

AFTER_ACCEPTANCE: Mapping[str, Respond] = {
    "connection dropped": drop,
    "connection reset": reset,
    "response cut off": cut_off,
    "response garbled": respond_with(200, b"\xff{not json"),
    "response empty": respond_with(200, b""),
    "another response": respond_with(200, b'{"status": "ok"}'),
    "web page": respond_page,
    "redirect": respond_with(302, b"", headers={"Location": "/login"}),
    "status 408": respond_with(408),
    "status 500": respond_with(500),
    "status 502": respond_with(502),
    "status 503": respond_with(503),
    "status 504": respond_with(504),
}
POLL_FAULTS: Mapping[str, Respond] = {
    "status 503": respond_with(503),
    "status 500": respond_with(500, b"<html>", headers={"Content-Type": "text/html"}),
    "status 404": respond_with(404),
    "status 429": respond_with(429, headers={"Retry-After": "3"}),
    "connection reset": reset,
    "response garbled": respond_with(200, b"{"),
    "response cut off": cut_off,
}
LASTING_POLL_FAULTS: Mapping[str, Respond] = {
    "status 401": respond_with(401),
    **{name: POLL_FAULTS[name] for name in ("status 503", "status 404")},
    "connection reset": reset,
}
IMAGE_FAULTS: Mapping[str, Respond] = {
    "status 404": respond_with(404),
    "status 410": respond_with(410),
    "status 403": respond_with(403),
    "status 503": respond_with(503),
    "web page": respond_page,
    "JSON": respond_with(200, b'{"error": "not yet"}'),
    "empty file": respond_with(200, b"", headers={"Content-Type": "image/png"}),
    "file cut off": cut_off,
    "file damaged": corrupt,
    "connection reset": reset,
}

"""What routes may answer that is no result, for their description."""

from litestar.openapi import ResponseSpec

from imagen.server.errors import ErrorBody

ERROR_RESPONSES: dict[int, ResponseSpec] = {
    status: ResponseSpec(ErrorBody, description=description)
    for status, description in {
        400: "The request makes no sense, or the backend will not make it.",
        401: "The API key is missing or wrong.",
        402: "Over budget, or out of credit.",
        403: "From a page of another site.",
        404: "There is no such thing.",
        408: "No more of the body came.",
        409: "What was asked under this key runs still, or its fate is unknown.",
        410: "What was made under this key is gone.",
        413: "The body is too large.",
        421: "The server is not called so.",
        422: "Too much for this server, or something else under this key.",
        429: "Too many requests; see Retry-After.",
        500: "A fault of the server's own.",
        502: "The backend failed.",
        503: "The backend is down.",
        504: "No image in time.",
    }.items()
}
"""What any route may answer, for its description."""

READ_ERROR_RESPONSES = {
    status: ERROR_RESPONSES[status] for status in (400, 401, 403, 404, 421, 500)
}
"""What those may answer that make nothing."""

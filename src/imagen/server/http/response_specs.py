"""OpenAPI descriptions of the error responses."""

from litestar.openapi import ResponseSpec

from imagen.server.errors import ErrorBody

ERROR_RESPONSES: dict[int, ResponseSpec] = {
    status: ResponseSpec(ErrorBody, description=description)
    for status, description in {
        400: "The request is invalid, or the backend refuses the content.",
        401: "The API key is missing or wrong.",
        402: "A budget is exceeded, or the backend is out of credit.",
        403: "The request comes from a page of another site.",
        404: "Not found.",
        408: "Timeout while reading the body.",
        409: "A request with this key is running, or its outcome is unknown.",
        410: "The images of the request with this key have been deleted.",
        413: "The body is too large.",
        421: "Unknown Host header.",
        422: "A limit is exceeded, or the key was used for another request.",
        429: "Too many requests; see Retry-After.",
        500: "Internal server error.",
        502: "The backend failed.",
        503: "The backend is down.",
        504: "No image before the timeout.",
    }.items()
}
"""For routes that generate images."""

READ_ERROR_RESPONSES = {
    status: ERROR_RESPONSES[status] for status in (400, 401, 403, 404, 421, 500)
}
"""For routes that do not generate images."""

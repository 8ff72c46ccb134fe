"""JSON responses for terminals as well as programs."""

from typing import Any, TypeVar

from litestar import Response
from litestar.serialization import default_serializer
from litestar.types import Serializer

from imagen.domain.printable import encode_json

Body = TypeVar("Body")


class JsonResponse(Response[Body]):
    """A response whose JSON has no control characters and no small exponents."""

    def render(
        self, content: Any, media_type: str, enc_hook: Serializer = default_serializer
    ) -> bytes:
        """Return the body; only JSON is changed."""
        if media_type.startswith("application/json") and not isinstance(content, bytes):
            return encode_json(content)
        return super().render(content, media_type, enc_hook)

"""A stored idempotency key must match its request also after an update of imagen."""

import msgspec

from imagen.server.http import images
from imagen.server.http.schemas import GenerationFields


def fingerprint(**fields: object) -> str:
    known = msgspec.convert({"prompt": "a fox", **fields}, GenerationFields)
    return images.fingerprint("image_generation", known, images=(), mask=None)


def test_the_fingerprint_of_a_request_never_changes() -> None:
    # Computed by the first version of the server, before it had `aspect_ratio`.
    assert fingerprint(n=2, size="512x512", seed=7, quality="high") == (
        "1fd0770d56a5a98c525bb7cbc63e051b68bb0aef2d60c20cccb246eb81f8a11f"
    )


def test_a_given_aspect_ratio_is_part_of_the_fingerprint() -> None:
    assert fingerprint(aspect_ratio="16:9") != fingerprint()

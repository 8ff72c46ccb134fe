"""Content credentials (C2PA) of a file."""

import msgspec


class ContentCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A C2PA manifest inside a file.

    Attributes:
        fits: Whether all signed bytes are unchanged; None if that was not verified.
        trusted: Whether the signer is on a trust list; None if that was not verified.
        signed_by: The signer's name in the certificate.
        signed_at: The time stamp of the signature; "" for none.
        made_with: The program that wrote the manifest.
        failures: The failed checks, as C2PA status codes.
        note: Why the manifest was not verified, or the limits of the verification.
    """

    fits: bool | None = None
    trusted: bool | None = None
    signed_by: str = ""
    signed_at: str = ""
    made_with: str = ""
    failures: tuple[str, ...] = ()
    note: str = ""

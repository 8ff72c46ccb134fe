"""What a C2PA manifest says of a file, and whether it still fits."""

import msgspec


class ContentCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A C2PA manifest inside a file.

    Attributes:
        fits: Whether every byte that it covers is as it was signed; None when that
            was not checked.
        trusted: Whether the signer is on a list of those to be trusted; None when
            nobody was asked.
        signed_by: Who signed, as the certificate names them.
        signed_at: When, if a time stamp says so.
        made_with: The program that wrote the manifest.
        failures: What does not fit, in the codes of C2PA.
        note: Why it was not checked, or what that leaves open.
    """

    fits: bool | None = None
    trusted: bool | None = None
    signed_by: str = ""
    signed_at: str = ""
    made_with: str = ""
    failures: tuple[str, ...] = ()
    note: str = ""

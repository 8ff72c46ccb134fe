"""The port for verifying C2PA manifests."""

from collections.abc import Callable
from typing import TypeAlias

from imagen.domain.content_credentials import ContentCredentials

CheckProvenance: TypeAlias = Callable[[bytes, str], ContentCredentials]
"""Return the manifest of a signed file, given its content and media type.

Use no network. Raise nothing for the content of the file: describe a manifest that
cannot be verified in `ContentCredentials.note`.
"""

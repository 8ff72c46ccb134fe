"""The port to whatever can check a C2PA manifest."""

from collections.abc import Callable
from typing import TypeAlias

from imagen.domain.content_credentials import ContentCredentials

CheckProvenance: TypeAlias = Callable[[bytes, str], ContentCredentials]
"""Returns what the manifest in a signed file says, given its content and media type.

Asks nobody outside of this machine. Never raises for what is in the file: what cannot
be checked is said in the note.
"""

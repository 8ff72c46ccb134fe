"""Checks of downloaded images."""

from imagen.formats.container import PNG_SIGNATURE, NotAnImage, read_facts

_SIGNATURES = (PNG_SIGNATURE, b"\xff\xd8\xff", b"RIFF", b"GIF8")


def is_truncated(content: bytes) -> bool:
    """Whether what came is a picture that we know, and not a whole one."""
    if content and not content.startswith(_SIGNATURES):
        return False
    try:
        read_facts(content)
    except NotAnImage:
        return True
    return False

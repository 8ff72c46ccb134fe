"""Remove images from the history of this machine."""

from collections.abc import Sequence

from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History
from imagen.ports.spool import Spool


def forget_images(
    names: Sequence[str], *, history: History, spool: Spool
) -> tuple[HistoryEntry, ...]:
    """Forget all the named images, or none on an error; return their entries.

    The image files stay.

    Args:
        names: Ids, unique prefixes of ids, or `last`.

    Raises:
        InvalidRequest: a name matches no image, or several.
    """
    # All names are resolved before the first image is forgotten, so that a misspelled
    # name changes nothing.
    found = [_find_entry(name, history) for name in names]
    entries = {entry.sidecar.id: entry for entry in found}
    for image_id in entries:
        history.forget(image_id)
    spool.discard(entries)
    return tuple(entries.values())


def _find_entry(name: str, history: History) -> HistoryEntry:
    entry = history.get(name) if name else None
    if entry is None:
        raise InvalidRequest(
            f"No image {name!r} in the history.",
            hint="Run `imagen history` to list the images.",
        )
    return entry

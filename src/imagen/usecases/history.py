"""Remove images from the history of this machine."""

from collections.abc import Sequence
from typing import Protocol

from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.domain.idempotency import KEYED_COMMANDS
from imagen.ports.history import History
from imagen.ports.idempotency import RequestKeys, RequestList
from imagen.ports.spool import Spool


class _Keys(RequestKeys, RequestList, Protocol):
    """The recorded commands."""


def forget_images(
    names: Sequence[str], *, history: History, spool: Spool, keys: _Keys
) -> tuple[HistoryEntry, ...]:
    """Forget all the named images, or none on an error; return their entries.

    The image files stay. The key of a command is forgotten with its last image.

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
    for request in keys.list_requests(KEYED_COMMANDS):
        ids = request.answer.image_ids if request.answer else ()
        if not entries.keys().isdisjoint(ids) and not any(map(history.get, ids)):
            keys.release(request.key)
    return tuple(entries.values())


def _find_entry(name: str, history: History) -> HistoryEntry:
    entry = history.get(name) if name else None
    if entry is None:
        raise InvalidRequest(
            f"No image {name!r} in the history.",
            hint="Run `imagen history` to list the images.",
        )
    return entry

"""The trouble that a test can order from our ComfyUI, by name."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

OUT_OF_MEMORY = "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
OUT_OF_MEMORY_TYPE = "torch.OutOfMemoryError"


@dataclass(frozen=True, kw_only=True)
class PromptTrouble:
    """What goes wrong with one prompt, from its POST to its history.

    What has a moment happens after step `at_step`, counted over all samplers; 0 is
    when the first node has begun. A graph without that step has it right before its
    end.
    """

    # The answer to POST /prompt
    refuses_with: int | None = None
    """This status before anything is accepted; 502, 503 and 504 come as HTML."""
    accepts_then: Literal["500", "drop", "hang"] | None = None
    """Queued, and it will run; the answer is a 500, no answer, or never comes."""
    frames_before_answer: bool = False
    """The answer comes only after the last frame."""
    answer_late: float = 0

    # The run
    pauses: bool = False
    """Stands still at `at_step` until `resume()`, an interrupt or a restart."""
    fails: str | None = None
    """An execution_error with this message, a long traceback and server paths."""
    fails_with: str = "RuntimeError"
    fails_at: str | None = None
    """The class or the id of the node that fails; otherwise at `at_step`."""
    deleted_by_another: bool = False
    """Taken out of the queue by somebody right after it was accepted."""
    interrupted_by_another: bool = False
    restarts: float | None = None
    """The server dies at `at_step` and is back after so many seconds."""
    at_step: int = 1

    # The frames
    late_frames: float = 0
    """Every frame of this prompt comes so many seconds after it was due, and what
    stands in line behind it waits too."""
    loses_frames: Collection[str] = ()
    """Frames of these types are not sent; `"*"` is all of them."""
    drops_socket: Literal["clean", "abort"] | None = None
    """The client's socket is closed, or cut (1006), at `at_step`."""
    deaf_after_reconnect: bool = False
    """After `drops_socket`, the client's next socket is greeted, then forgotten."""
    deaf: bool = False
    """The client's socket is forgotten at `at_step`: open, pings, no frames."""
    huge_frames: int = 0
    """So many bytes more in `executed`, `execution_error` and the previews."""

    # Afterwards
    history_late: float = 0
    """So long between execution_success and the history, still in the queue."""
    history_wiped: bool = False
    """Somebody clears the history before the last frame is sent."""
    files_deleted: bool = False
    """The files are gone as soon as they were announced: /view says 404."""


@dataclass(frozen=True, kw_only=True)
class RequestTrouble:
    """What goes wrong with the requests to one path, such as "/view" or "/queue"."""

    path: str
    status: int | None = None
    """This status instead of the answer; 502, 503 and 504 come as HTML of a proxy."""
    body: str | None = None
    """With `status`: this text (HTML if it begins with "<") instead of the usual."""
    drops: bool = False
    """The connection is cut without an answer."""
    late: float = 0
    """So many seconds pass before the server looks at it."""
    held: bool = False
    """The server does not look at it until `resume()`."""
    bytes_per_second: float | None = None
    """/view only: a slow network."""
    cut: Literal["short", "silent", "empty"] | None = None
    """/view only: half the file and then a cut connection ("short"), half a file
    with a Content-Length that says so ("silent"), or no bytes at all ("empty")."""
    times: int | None = None

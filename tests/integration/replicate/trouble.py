"""The trouble that a test can order from our Replicate, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NSFW = "NSFW content detected. Try running it again, or try a different prompt."
SENSITIVE = (
    "The input or output was flagged as sensitive. Please try again with different"
    " inputs. (E005) (aB3dE6gH)"
)
INTERRUPTED = "Prediction interrupted; please retry (code: PA)"


@dataclass(frozen=True, kw_only=True)
class PredictionTrouble:
    """What goes wrong with one prediction, from its POST to its files."""

    # The answer to the POST
    refuses_with: int | None = None
    """This status before anything is accepted."""
    detail: str | None = None
    """With it: these words instead of the usual ones."""
    waits: float | None = None
    """With 429: this many seconds are asked for."""
    says_wait: Literal["body", "header", "words"] = "body"
    drops_before_accepting: bool = False
    accepts_then: Literal["500", "503", "drop", "hang", "garbage"] | None = None
    """It is made, and costs; the answer is this, or never comes."""
    answer_late: float = 0
    """So many seconds between accepting and answering."""

    # The run
    seconds: float | None = None
    """It takes so long, instead of so many looks."""
    never_ends: bool = False
    never_begins: bool = False
    ends: Literal["succeeded", "failed", "canceled", "aborted"] = "succeeded"
    error: str = "It broke."
    """What a failed one says."""
    ignores_cancel: bool = False
    """It succeeds although it was cancelled."""
    seed_used: int | None = None
    """Another seed than was asked for, as its log tells."""
    silent_log: bool = False
    state: str | None = None
    """It calls itself this while it runs."""
    only_log: str | None = None
    """Its log is this."""
    logs: str = ""
    """Another line of its log."""
    loads_first: bool = False
    """Its log begins with the full bar of another work."""
    metrics: Mapping[str, object] | None = None
    """These figures instead of the right ones."""
    adds_defaults: bool = False
    """Its inputs are listed with defaults that were not sent."""
    listed_as: str | None = None
    """It is listed under this name of its model; `{name}` and `{version}` stand for
    its own."""
    listed_version: str | None = None
    """It is listed with this version."""

    # Its files
    output: Literal[
        "usual",
        "data",
        "dict",
        "nulls",
        "relative",
        "schemeless",
        "capitals",
        "base64",
        "json",
        "growing",
        "text",
        "late",
        "none",
    ] = "usual"
    withholds: int = 0
    """So many images fewer than were asked for."""
    extra: int = 0
    """So many images more than were asked for."""
    file: Literal["image", "svg", "html", "black", "cut", "endless"] = "image"
    cut_times: int = 0
    """So many times only half of the file is sent."""
    leads_to: str | None = None
    """The file is named at this address instead."""
    redirects: int = 0
    redirects_to: str | None = None
    guarded: bool = False
    """The file is handed out with the token only."""
    file_status: int | None = None
    """The file is answered with this."""
    file_status_times: int = 1_000_000
    removed: bool = False
    """Its data is deleted as soon as it has succeeded."""


@dataclass(frozen=True, kw_only=True)
class RequestTrouble:
    """What goes wrong with the requests to one path, such as "/predictions"."""

    path: str
    method: str | None = None
    status: int | None = None
    """This status instead of the answer."""
    body: str | None = None
    """With it: this text, HTML if it begins with "<"."""
    retry_after: str | None = None
    location: str | None = None
    drops: bool = False
    late: float = 0
    held: bool = False
    """The request is worked on, and its answer waits for `release()`."""
    times: int | None = None

"""The functions `history`, `jobs`, `resume`, `usage` and `models`: the records."""

from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from os import PathLike, fspath
from typing import Literal, overload

from imagen.api.outcomes import (
    convert_report,
    convert_resumed,
    show_progress,
)
from imagen.api.results import Image, Images, Jobs
from imagen.bootstrap.cloud import deliver_briefly, upload_usage
from imagen.bootstrap.generation import build_resume
from imagen.bootstrap.library import open_usage
from imagen.bootstrap.models import list_models
from imagen.bootstrap.once import continue_command, count_remaining, forget_finished
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.events import Listener, ignore_event
from imagen.domain.money.usage import DIMENSIONS, Dimension, UsageRow
from imagen.engine.cancellation import Cancellation
from imagen.settings.environment import process_environment
from imagen.usecases.generate import build_report
from imagen.usecases.jobs import (
    describe_command,
    describe_job,
    find_command,
    list_several,
    select_jobs,
)
from imagen.usecases.models import BackendModels
from imagen.usecases.usage import UsageReport


def history(
    search: str = "",
    *,
    backend: str = "",
    since: str | date | None = None,
    limit: int = 20,
    config: str | PathLike[str] | None = None,
) -> Images:
    """Return the images that were made on this machine, the newest first.

    The files are read only when their content is used, so that an image whose file was
    deleted has its metadata. In a notebook the list shows itself as a grid.

    Args:
        search: Words or parts of words that the prompt must all contain, in any case,
            with or without accents. Default: "", any prompt.
        backend: The backend that made the image. Default: "", any.
        since: The first day, UTC, as a `date` or as text such as "2026-05-01".
        limit: The largest number of images; 0 is no limit. Default: 20.
        config: The config file; None uses the same file as the command line.

    Raises:
        InvalidRequest: `since` is not a date, or `limit` is below 0.
        JournalError: the history cannot be read.
    """
    if limit < 0:
        raise InvalidRequest(f"limit is {limit}, and should be 0 or more.")
    with _open(config) as runtime:
        found = runtime.stores.history.find(
            words=search, backend=backend, since=_parse_day(since), limit=limit or None
        )
        return Images(Image(entry) for entry in found)


def jobs(*, config: str | PathLike[str] | None = None) -> Jobs:
    """Return the unfinished jobs, which may be billed, the oldest first.

    The interrupted commands of several images are in the attribute `commands`.

    Args:
        config: The config file; None uses the same file as the command line.

    Raises:
        JournalError: the journal cannot be read.
    """
    with _open(config) as runtime:
        return Jobs(
            map(describe_job, select_jobs(runtime.stores.journal)),
            [
                describe_command(each, count_remaining(runtime, each))
                for each in list_several(runtime.stores.keys)
            ],
        )


def resume(
    *ids: str,
    continue_: bool = False,
    config: str | PathLike[str] | None = None,
    progress: bool = True,
    listen: Listener = ignore_event,
) -> Images:
    """Finish interrupted jobs: fetch the images that were paid for, and store them.

    Sends no request that can cost money, unless `continue_` is true. Skips jobs of
    other running processes.

    Args:
        ids: Ids, unique prefixes of ids, or `"last"`. Default: all open jobs.
        continue_: True also sends what the interrupted command with this one id had
            not sent, which may cost money. Default: False.
        config: The config file; None uses the same file as the command line.
        progress: False shows no progress in a notebook; elsewhere none is shown.
            Default: True.
        listen: Called with every event as it happens, from any thread.

    Returns:
        The images that were fetched and stored, the oldest job first.

    Raises:
        InvalidRequest: an id matches no job, or several.
        SomeImagesFailed: some of several jobs have failed or are still open; it has
            the images and the errors. `imagen.jobs()` returns those still open.
        ImagenError: the error of the only job.
    """
    if continue_ and len(ids) != 1:
        raise InvalidRequest(
            "`continue_` needs the id of one command.",
            hint="`imagen.jobs().commands` has the ids.",
        )
    stop = Cancellation()
    with _open(config) as runtime, show_progress(listen, shown=progress) as listener:
        if continue_:
            return _continue(runtime, ids[0], listener, stop)
        open_jobs = select_jobs(runtime.stores.journal, ids)
        selected = [job for job in open_jobs if ids or not job.live]
        use_case = build_resume(runtime, listen=listener)
        with closing(use_case.outcomes(selected, stop)) as outcomes:
            results = list(outcomes)
        with suppress(JournalError):
            forget_finished(runtime)
        deliver_briefly(runtime, stop, listen=listener)
    return convert_resumed(selected, results, named=bool(ids))


def _continue(
    runtime: Runtime, name: str, listen: Listener, stop: Cancellation
) -> Images:
    command = find_command(runtime.stores.keys, name)
    outcomes = continue_command(runtime, command, listen=listen, cancellation=stop)
    with closing(outcomes):
        report = build_report(outcomes)
    deliver_briefly(runtime, stop, listen=listen)
    return convert_report(report)


@overload
def usage(
    *,
    since: str | date | None = None,
    by: Sequence[Dimension] = DIMENSIONS,
    raw: Literal[False] = False,
    local: bool = False,
    config: str | PathLike[str] | None = None,
) -> UsageReport: ...
@overload
def usage(
    *,
    since: str | date | None = None,
    raw: Literal[True],
    local: bool = False,
    config: str | PathLike[str] | None = None,
) -> list[UsageRow]: ...
def usage(
    *,
    since: str | date | None = None,
    by: Sequence[Dimension] = DIMENSIONS,
    raw: bool = False,
    local: bool = False,
    config: str | PathLike[str] | None = None,
) -> UsageReport | list[UsageRow]:
    """Return what was spent; days and weeks are in UTC.

    If Supabase is set up, the costs of all machines are added up, after the pending
    rows of this machine are uploaded.

    Args:
        since: The first day, UTC, as a `date` or as text such as "2026-05-01".
        by: What to group by, in this order: one or more of "week", "backend", "model"
            and "caller". Default: all four.
        raw: True returns each call, the newest first. Default: False.
        local: True reads the ledger of this machine, even if there is a shared one.
            Default: False.
        config: The config file; None uses the same file as the command line.

    Returns:
        A report with `groups` and `total`; with `raw` a list of rows. `cost_usd` of
        each is in US dollars, `cost_micros` the exact number of micro-dollars.

    Raises:
        InvalidRequest: `since` is not a date, or imagen cannot group by a name.
        Unavailable, Unauthorized: the shared ledger cannot be read.
        JournalError: the ledger of this machine cannot be read.
    """
    day, names = _parse_day(since), tuple(by)
    for name in names:
        if name not in DIMENSIONS or names.count(name) > 1:
            known = ", ".join(DIMENSIONS)
            raise InvalidRequest(
                f"`by` has {name!r}, and should have each of these once: {known}."
            )
    with _open(config) as runtime:
        if not local:
            upload_usage(runtime, Cancellation())
        with open_usage(runtime, local=local) as use_case:
            if raw:
                return list(use_case.rows(since=day))
            return use_case.run(names, since=day)


def models(
    *backends: str,
    refresh: bool = False,
    config: str | PathLike[str] | None = None,
) -> list[BackendModels]:
    """Return the models of the backends: price, abilities and shutdown date.

    A backend is asked only for what is not known without it, and costs nothing. If
    something cannot be found out, `problem` of the backend says why; nothing is raised.

    Args:
        backends: Names of configured backends. Default: all.
        refresh: True asks the backends anew for what they can do. Default: False.
        config: The config file; None uses the same file as the command line.

    Raises:
        InvalidRequest: the config has no backend of that name.
        Misconfigured: the config is missing or invalid.
    """
    with _open(config) as runtime:
        return list_models(
            runtime, backends, refresh=refresh, cancellation=Cancellation()
        )


def _open(config: str | PathLike[str] | None) -> Runtime:
    """Return a runtime whose config is read when it is needed."""
    path = None if config is None else fspath(config)
    return Runtime(process_environment(), config=path)


def _parse_day(day: str | date | None) -> date | None:
    """Return a UTC date.

    Raises:
        InvalidRequest: the text is not a date.
    """
    if isinstance(day, datetime):
        return day.astimezone(UTC).date()
    if not isinstance(day, str):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise InvalidRequest(
            f"`since` is {day!r}, and should be a date such as 2026-05-01."
        ) from None

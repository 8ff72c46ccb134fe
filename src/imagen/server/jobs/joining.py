"""Recent requests without an idempotency key, which a repetition joins.

This process remembers all of its own for `serve.linger` seconds. The database has those
that may cost money, and those that have lost their client, so that a repetition joins
them after a restart and on another server, too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import msgspec

from imagen.domain.errors import JournalError
from imagen.domain.idempotency import UNKEYED_REQUESTS, RequestKey
from imagen.domain.joining import REFUSALS, Joinable, find_joinable
from imagen.server.jobs.job import Job, JobRequest
from imagen.server.jobs.service import ServerContext

MAX_ENDED = 10_000
"""Ended requests that this process remembers."""
_CLEANUP_INTERVAL = timedelta(minutes=1)
_DRAIN_TIMEOUT = 5.0


class RecentRequests:
    """Finds the request that a repeated one joins; belongs to one event loop."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._joinable = context.stores.joinable
        self._linger = timedelta(seconds=context.settings.serve.linger)
        # By caller and fingerprint, then by id.
        self._equal: dict[tuple[str, str], dict[str, Job]] = {}
        # Those of them that any request may join: thousands of others may be equal.
        self._lost: dict[tuple[str, str], dict[str, Job]] = {}
        self._ended: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cleaned_at: datetime | None = None

    def key_of(self, job: Job) -> RequestKey:
        """Return the key under which a repetition finds a job in the database."""
        return _build_key(job.caller, job.id, job.fingerprint)

    def add(self, job: Job) -> None:
        """Remember a job, so that another request may join it."""
        self._forget_old()
        self._equal.setdefault(_name(job), {})[job.id] = job

    async def join(self, request: JobRequest, retries: int | None) -> Job | None:
        """Return the job that the request repeats; None if it is a new purchase.

        Without the database, only requests of this process are joined.
        """
        name = _name(request)
        key = _build_key(request.caller, "-", request.fingerprint)
        stored = await self._find_stored(key, answered=bool(retries))
        failed: set[Joinable] = set()
        while True:
            candidates = self._list(name, retries, stored, prefer_stored=bool(failed))
            found = find_joinable([c for c in candidates if c not in failed], retries)
            if found is None:
                return None
            job = self._equal.get(name, {}).get(found.id)
            if found.refused:
                if await self._consume(found, key, job):
                    return None
            elif job is not None and not job.is_stored:
                return job
            elif joined := await self._connect(found, key, request, retries, job):
                return joined
            # Another server has changed it.
            failed.add(found)
            stored = await self._find_stored(key, answered=bool(retries))

    def _list(
        self,
        name: tuple[str, str],
        retries: int | None,
        stored: Sequence[Joinable],
        *,
        prefer_stored: bool,
    ) -> list[Joinable]:
        """Return the equal requests that this process and the database know."""
        equal = self._equal.get(name, {})
        found: dict[str, Joinable] = {}
        for each in stored:
            job = equal.get(each.id)
            if job is None or (
                prefer_stored and not job.followers and self._is_usable(job)
            ):
                found[each.id] = each
        candidates = equal if retries else self._lost.get(name, {})
        for job in candidates.values():
            if job.id not in found and self._is_usable(job):
                found[job.id] = job.to_joinable()
        return list(found.values())

    def note(self, job: Job) -> None:
        """Notice that a job, or a connection to it, has begun or ended."""
        if self._is_known(job) and job.may_be_joined(None):
            self._lost.setdefault(_name(job), {})[job.id] = job
        else:
            _remove(self._lost, job)

    def lose(self, job: Job) -> None:
        """Record that a running job has lost its last client."""
        if self._is_known(job):
            job.is_stored = job.is_loss_saved = True
            self._save(job, connection="lost")

    def settle(self, job: Job) -> None:
        """Record how a job has ended, once no client is connected, and free memory."""
        if self._is_known(job):
            # The worker records a job that may cost money.
            job.is_stored = job.is_stored or bool(job.may_cost)
            if self._is_joinable(job):
                self._remember(job)
            else:
                self._forget(job)
                if job.is_foreign:  # only the waiting for it was cancelled
                    self._save(job, connection="lost")
                elif job.is_stored:
                    self._write(job, self._context.stores.keys.release)
        job.free_memory()

    def _is_joinable(self, job: Job) -> bool:
        """Return whether a repetition of an ended job has to know of it."""
        outcome = job.outcome
        if job.is_cancelled:
            return False
        if outcome is None or outcome.answer is None:
            return job.is_stored  # otherwise it was free, and its images never come
        return not outcome.is_free or outcome.answer.status in REFUSALS

    def _remember(self, job: Job) -> None:
        self._ended.append(job)
        if job.is_refused:
            # Else there is nothing that its repetition could be taken for.
            job.is_stored = job.is_stored or len(self._equal[_name(job)]) > 1
        elif not job.answered:
            job.is_stored = True
        if job.is_stored:
            # After a saved loss another server may have the connection.
            lost: Literal["lost"] | None = None if job.is_loss_saved else "lost"
            self._save(
                job,
                connection="answered" if job.answered else lost,
                ended_at=None if job.is_foreign else job.ended_at,
            )

    async def is_followed_elsewhere(self, job: Job) -> bool:
        """Return whether a client waits for the job at another server."""
        if not job.is_stored:
            return False
        await self._written(job)
        rows = await self._find_stored(self.key_of(job), answered=True)
        return any(row.id == job.id and row.connection == "open" for row in rows)

    def track(self, task: "asyncio.Task[None]") -> None:
        """Keep a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until everything is recorded, but not for a database that hangs."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_TIMEOUT)

    async def _find_stored(
        self, key: RequestKey, *, answered: bool
    ) -> tuple[Joinable, ...]:
        now, joinable = self._context.now(), self._joinable
        try:
            if self._cleaned_at is None or now - self._cleaned_at > _CLEANUP_INTERVAL:
                self._cleaned_at = now
                expire = partial(joinable.expire, now=now, after=self._linger)
                await self._context.in_thread(expire)
            # In this thread: the index has the answer in 0.1 ms, and another thread
            # takes four times as long to wake up and to answer, for each request.
            return joinable.find(key, since=now - self._linger, answered=answered)
        except JournalError:
            return ()  # a paid job will say so; a free one needs no database

    async def _consume(self, found: Joinable, key: RequestKey, job: Job | None) -> bool:
        """Forget a refused request; False if another repetition was faster."""
        keys, joinable = self._context.stores.keys, self._joinable
        if job is not None:
            self._forget(job)
            if job.is_stored:
                self._write(job, keys.release)
            return True

        def consume() -> bool:
            stored = msgspec.structs.replace(key, key=found.id)
            if taken := joinable.connect(stored, found, retries=None):
                keys.release(stored)
            return taken

        with suppress(JournalError):
            return await self._context.in_thread(consume)
        return False

    async def _connect(
        self,
        found: Joinable,
        key: RequestKey,
        request: JobRequest,
        retries: int | None,
        job: Job | None,
    ) -> Job | None:
        """Claim the connection of a recorded request; None if another one has it."""
        stored = msgspec.structs.replace(key, key=found.id)
        if job is not None:
            job.is_joining = True
            await self._written(job)
        connect = partial(self._joinable.connect, stored, found, retries=retries)
        try:
            if not await self._context.in_thread(connect):
                return None
        except JournalError:
            if job is None:
                return None
        finally:
            if job is not None:
                job.is_joining = False
        if job is None:
            job = Job(found.id, request, created_at=found.created_at)
            job.is_stored = job.is_foreign = job.is_idle = True
            self.add(job)
        return job

    def _save(
        self,
        job: Job,
        *,
        connection: Literal["lost", "answered"] | None,
        ended_at: datetime | None = None,
    ) -> None:
        answer = job.outcome.answer if job.outcome is not None and ended_at else None
        self._write(
            job,
            partial(
                self._joinable.save,
                at=None if job.is_foreign else job.created_at,
                retries=job.retries,
                connection=connection,
                ended_at=ended_at,
                answer=answer,
            ),
        )

    def _write(self, job: Job, action: Callable[[RequestKey], object]) -> None:
        """Write after what is being written of the same job."""
        before, key = job.write, self.key_of(job)

        async def write() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await self._context.in_thread(lambda: action(key))
            except JournalError as error:
                self._context.log(f"could not record a connection: {error}")

        job.write = asyncio.create_task(write())
        self.track(job.write)

    async def _written(self, job: Job) -> None:
        if job.write is not None:
            await asyncio.wait([job.write])

    def _is_known(self, job: Job) -> bool:
        return job.id in self._equal.get(_name(job), {})

    def _is_usable(self, job: Job) -> bool:
        return not (job.is_joining or job.is_cancelled or self._is_old(job))

    def _is_old(self, job: Job) -> bool:
        ended_at = job.ended_at
        if ended_at is None or not job.is_idle:
            return False
        return ended_at < self._context.now() - self._linger

    def _forget(self, job: Job) -> None:
        _remove(self._equal, job)
        _remove(self._lost, job)

    def _forget_old(self) -> None:
        while self._ended and (
            len(self._ended) > MAX_ENDED or self._is_old(self._ended[0])
        ):
            job = self._ended.popleft()
            if job.is_idle and not job.is_joining:
                self._forget(job)


def _remove(jobs: dict[tuple[str, str], dict[str, Job]], job: Job) -> None:
    name = _name(job)
    if (equal := jobs.get(name)) is not None:
        equal.pop(job.id, None)
        if not equal:
            del jobs[name]


def _name(request: Job | JobRequest) -> tuple[str, str]:
    return request.caller, request.fingerprint


def _build_key(caller: str, job_id: str, fingerprint: str) -> RequestKey:
    return RequestKey(
        caller=UNKEYED_REQUESTS + caller, key=job_id, fingerprint=fingerprint
    )

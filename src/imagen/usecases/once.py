"""Run a command once: a repeated command continues the interrupted one."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from imagen.domain import events
from imagen.domain.call import Call, CallClosed, OpenCall, describe_forgetting
from imagen.domain.command import CONTINUED_FOR, WAITING_COMMANDS, Command
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    JournalError,
    StorageError,
    Unfinished,
)
from imagen.domain.idempotency import (
    KEYED_COMMANDS,
    UNKEYED_COMMANDS,
    KeyAnswered,
    KeyClaimed,
    KeyInterrupted,
    RecordedCall,
    RequestKey,
    StoredAnswer,
    StoredRequest,
    name_of,
)
from imagen.domain.ids import new_id
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.seed import RandomInt
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import Recorder
from imagen.ports.clock import Clock
from imagen.ports.history import History
from imagen.ports.idempotency import RequestKeys, RequestList
from imagen.ports.journal import Journal
from imagen.usecases.generate import Work
from imagen.usecases.remaining import Remaining, assess, renew

if TYPE_CHECKING:
    from imagen.usecases.earlier import FindEarlierImages
    from imagen.usecases.resume import ResumeCalls, ResumeResult

Outcome: TypeAlias = StoredImage | FailedImage

_POLL_INTERVAL = 0.25
"""Seconds between two looks at a command that runs in another process."""


class RunOnce(msgspec.Struct, frozen=True, kw_only=True):
    """Runs a command so that it is paid once, however often it is repeated.

    The calls are recorded before the first one is sent. If the process dies, the same
    command returns what is stored, resumes what was sent, and sends the rest.

    Attributes:
        keys: The recorded commands; the same object implements both ports.
        requests: The list of recorded commands.
        build_resume: Builds what finishes open calls; only a continued command needs
            it, and it loads many modules.
        build_earlier: Builds what finds earlier images, for the same reason.
    """

    keys: RequestKeys
    requests: RequestList
    journal: Journal
    history: History
    records: Recorder
    build_resume: "Callable[[], ResumeCalls]"
    build_earlier: "Callable[[], FindEarlierImages]"
    clock: Clock
    random_int: RandomInt
    listen: events.Listener = events.ignore_event

    def outcomes(
        self, command: Command, work: Work, cancellation: Cancellation
    ) -> Generator[Outcome]:
        """Yield the result of each image as soon as it is known.

        Closing the generator interrupts the command.

        Raises:
            InvalidRequest: the key belongs to another request, or a file that is to be
                replaced cannot be moved.
            OverBudget, JournalError, Unauthorized, Misconfigured: nothing was sent.
            Cancelled: cancelled while it waited for another process.
        """
        try:
            claim = self._claim(command, work, cancellation)
        except JournalError as error:
            if command.key:
                raise
            if work.may_cost:
                self.records.skip_record(error)
            self.records.warn_once(error)
            yield from work.run(work.calls, cancellation)
            return
        if isinstance(claim, StoredAnswer):
            yield from self.build_earlier().load_all(claim.image_ids)
            return
        key, recorded = claim
        yield from self._run(key, recorded, work, cancellation)

    def find_remaining(self, command: Command, work: Work) -> Remaining | None:
        """Return what an interrupted command has left; None if this would be a new run.

        Raises:
            InvalidRequest: the key belongs to another request.
        """
        found = self._find(command)
        if found is None or (found.process is not None and command.key is None):
            return None
        if found.answer is not None:
            return Remaining()
        return self.assess(found.calls)

    def continue_request(
        self, request: StoredRequest, work: Work, cancellation: Cancellation
    ) -> Iterator[Outcome]:
        """Continue an interrupted command, however old it is.

        Raises:
            InvalidRequest: another process works on it.
        """
        if not self.keys.take_over(request.key):
            raise InvalidRequest("Another process is running this command.")
        yield from self._run(request.key, request.calls, work, cancellation)

    def _run(
        self,
        key: RequestKey,
        recorded: Sequence[RecordedCall],
        work: Work,
        cancellation: Cancellation,
    ) -> Iterator[Outcome]:
        run = _Run(self, key, work, cancellation)
        try:
            yield from run.outcomes(recorded)
        except BaseException:
            # Such as a KeyboardInterrupt: the caller has not seen all images.
            run.end(returned=False)
            raise
        run.end(returned=True)

    def assess(self, recorded: Sequence[RecordedCall]) -> Remaining:
        """Return what the recorded calls have made, and what is left."""
        return assess(
            recorded,
            exists=self.build_earlier().exists,
            now=self.clock.now(),
            random_int=self.random_int,
        )

    def _claim(
        self, command: Command, work: Work, cancellation: Cancellation
    ) -> tuple[RequestKey, tuple[RecordedCall, ...]] | StoredAnswer:
        """Claim a new run or the oldest interrupted one, or return the images."""
        is_announced = False
        before = self._list_answers(command)
        while True:
            found = self._find(command)
            if found is not None and found.process is not None:
                if not is_announced:
                    self._announce(found.process)
                is_announced = True
                if self.clock.wait(cancellation.event, _POLL_INTERVAL):
                    raise Cancelled(
                        "Cancelled while waiting; nothing was sent.", settled=True
                    )
                continue
            key = self._new_key(command) if found is None else found.key
            match self.keys.claim(key, at=self.clock.now(), calls=work.calls):
                case KeyClaimed() if self._runs_elsewhere(command, key):
                    self.keys.release(key)
                    # Not in step with the other one, which gives way, too.
                    pause = self.random_int(round(_POLL_INTERVAL * 1000)) / 1000
                    self.clock.wait(cancellation.event, pause)
                case KeyClaimed():
                    after = self._list_answers(command)
                    if new := after.keys() - before.keys():
                        # One that was waited for, or started at the same time.
                        self.keys.release(key)
                        return after[min(new)]
                    return key, ()
                case KeyAnswered(answer=answer):
                    return answer
                case KeyInterrupted(calls=calls) if self.keys.take_over(key):
                    return key, calls
                case _:
                    pass  # another process was faster

    def _find(self, command: Command) -> StoredRequest | None:
        """Return the run of the command that is continued, returned or waited for.

        Raises:
            InvalidRequest: the key belongs to another request.
        """
        if command.key is None:
            return None if command.fresh else self._find_unfinished(command)
        for request in self.requests.list_requests(KEYED_COMMANDS):
            if request.key.key == command.key:
                if request.key.fingerprint != command.fingerprint:
                    raise InvalidRequest(
                        f"The key {command.key!r} was used for another request.",
                        hint="Use a new key, or `imagen jobs forget --key KEY`.",
                    )
                return request
        return None

    def _announce(self, process: int) -> None:
        name = f"process {process}" if process else "another process"
        words = f"Waiting for {name}, which runs the same command."
        self.listen(events.Continued(message=words))

    def _find_unfinished(self, command: Command) -> StoredRequest | None:
        """Return the oldest interrupted run of the command, or a running one."""
        since = self.clock.now() - CONTINUED_FOR[command.name]
        same = [
            request
            for request in self._list_same(command)
            if self._last_activity(request) >= since
        ]
        interrupted = [each for each in same if each.process is None]
        running = same if command.waits else []
        return next(iter((*interrupted, *running)), None)

    def _list_same(self, command: Command) -> list[StoredRequest]:
        """Return the unfinished runs of the same command without a key."""
        return [
            request
            for request in self.requests.list_requests(UNKEYED_COMMANDS)
            if request.answer is None and request.key.fingerprint == command.fingerprint
        ]

    def _list_answers(self, command: Command) -> Mapping[str, StoredAnswer]:
        """Return the answers of a command that has to wait, by the keys of its runs."""
        if command.key is not None or not command.waits:
            return {}
        return {
            request.key.key: request.answer
            for request in self.requests.list_requests(UNKEYED_COMMANDS)
            if request.answer is not None
            and request.key.fingerprint == command.fingerprint
        }

    def _runs_elsewhere(self, command: Command, key: RequestKey) -> bool:
        """Return whether a command that has to wait was started twice at once."""
        # Of two that see each other both give way, and look again.
        return (
            command.key is None
            and command.waits
            and any(
                request.process is not None and request.key != key
                for request in self._list_same(command)
            )
        )

    def _last_activity(self, request: StoredRequest) -> datetime:
        times = [request.created_at]
        for each in request.calls:
            if each.call is not None:
                times.append(each.call.created_at)
            if each.open:
                times.append(self.clock.now())
            for image_id in each.image_ids:
                entry = self.history.get(image_id)
                if entry is not None:
                    times.append(datetime.fromisoformat(entry.sidecar.created_at))
        return max(times)

    def _new_key(self, command: Command) -> RequestKey:
        number = new_id(self.clock.now(), self.random_int)
        return RequestKey(
            caller=UNKEYED_COMMANDS if command.key is None else KEYED_COMMANDS,
            key=command.key or f"{command.name} {number}",
            fingerprint=command.fingerprint,
        )


def forget_finished(
    keys: RequestKeys, requests: RequestList, earlier: "FindEarlierImages"
) -> None:
    """Forget interrupted commands whose images were all stored by a resume.

    The same command is a new one then. Those with a key are kept.

    Raises:
        JournalError: the record cannot be read or written.
    """
    for request in requests.list_requests(UNKEYED_COMMANDS):
        ids = [image_id for call in request.calls for image_id in call.image_ids]
        if request.process is not None or any(call.open for call in request.calls):
            continue
        if all(map(earlier.exists, ids)) and keys.take_over(request.key):
            keys.release(request.key)


class _Run:
    """One run of a command that this process has claimed."""

    def __init__(
        self, once: RunOnce, key: RequestKey, work: Work, cancellation: Cancellation
    ) -> None:
        self._once = once
        self._key = key
        self._work = work
        self._cancellation = cancellation
        self._calls: tuple[Call, ...] = tuple(work.calls)
        self._outcomes: dict[int, Outcome] = {}
        self._open: set[str] = set()

    def outcomes(self, recorded: Sequence[RecordedCall]) -> Iterator[Outcome]:
        """Yield the result of each image; continue the recorded calls, if any."""
        if recorded:
            yield from self._continue(recorded)
            return
        for outcome in self._work.run(self._calls, self._cancellation):
            yield self._note(outcome)

    def end(self, *, returned: bool) -> None:
        """Record how the run has ended; forget it if nothing is left to do.

        Args:
            returned: Whether the caller has all results. Otherwise the same command
                returns the images that are stored.
        """
        once, key = self._once, self._key
        ids = {
            number: image_id
            for call in self._calls
            for number, image_id in zip(call.numbers, call.image_ids, strict=True)
        }
        try:
            made = {n for n in ids if self._is_made(n, ids[n])}
            if len(made) == len(ids):
                answer = StoredAnswer(image_ids=tuple(ids[n] for n in sorted(ids)))
                if key.caller == KEYED_COMMANDS:
                    once.keys.complete(key, answer)
                elif not returned:
                    once.keys.abandon(key)
                elif name_of(key) in WAITING_COMMANDS:
                    once.keys.complete(key, answer)
                    self._forget_old_answers()
                else:
                    once.keys.release(key)
                return
            known = once.journal.list_open()
            self._open = {each.call.id for each in known if each.state != "planned"}
            if not made and not any(map(self._may_exist, self._calls)):
                once.keys.release(key)
                return
            failed = [call for call in self._calls if self._has_failed(call, made)]
            if failed:
                now, random_int = once.clock.now(), once.random_int
                calls = [
                    renew(call, now=now, random_int=random_int)
                    if call in failed
                    else call
                    for call in self._calls
                ]
                once.keys.record_calls(key, calls)
            once.keys.abandon(key)
        except JournalError as error:
            once.records.warn_once(error)

    def _forget_old_answers(self) -> None:
        """Forget finished commands for which no process can be waiting any more."""
        keys, now = self._once.keys, self._once.clock.now()
        for request in self._once.requests.list_requests(UNKEYED_COMMANDS):
            age = now - request.created_at
            if request.answer is not None and age > CONTINUED_FOR[request.name]:
                keys.release(request.key)

    def _continue(self, recorded: Sequence[RecordedCall]) -> Iterator[Outcome]:
        once, earlier = self._once, self._once.build_earlier()
        left = once.assess(recorded)
        made = {call.id: call for _, call in left.made.values()}
        self._calls = (*made.values(), *left.open, *left.unsent)
        total, images = self._work.images, left.images_left
        message = (
            f"Continuing an interrupted command: {images} of {total} "
            f"{'image is' if total == 1 else 'images are'} left."
        )
        if not images:
            message = "Returning the images of an interrupted command; none is left."
        once.listen(events.Continued(message=message))
        for number, (image_id, call) in sorted(left.made.items()):
            yield self._note(earlier.load(image_id, number=number, call=call))
        known = {each.call.id: each for each in once.journal.list_open()}
        for outcome in self._resume(left.open, known):
            yield self._note(outcome)
        if left.unsent:
            once.keys.record_calls(self._key, self._calls)
            for call in left.unsent:
                # The row of the dead process; a resume may have removed it already.
                if once.journal.claim(call.id) is not None:
                    once.journal.record(call.id, CallClosed())
            for outcome in self._work.run(left.unsent, self._cancellation):
                yield self._note(outcome)

    def _resume(
        self, calls: Sequence[Call], known: Mapping[str, OpenCall]
    ) -> Iterator[Outcome]:
        """Finish calls that were sent, and yield the result of each image."""
        once = self._once
        left = {call.id: call for call in calls}
        while found := [known[call_id] for call_id in left if call_id in known]:
            for result in once.build_resume().outcomes(found, self._cancellation):
                if not result.live:
                    yield from self._load(left.pop(result.call_id), result)
            # Another process resumes those that are left.
            if not left or once.clock.wait(self._cancellation.event, _POLL_INTERVAL):
                break
        for call in left.values():
            yield from self._load(call, None)

    def _load(self, call: Call, result: "ResumeResult | None") -> Iterator[Outcome]:
        """Yield the images of a call; `result` is None if it was not resumed."""
        earlier, found = self._once.build_earlier(), dict[int, Outcome]()
        if result is not None:
            found |= {each.number: each for each in result.failed}
            found |= {each.number: each for each in result.stored}
        for number, image_id in zip(call.numbers, call.image_ids, strict=True):
            if number in found:
                yield found[number]
            elif earlier.exists(image_id):
                yield earlier.load(image_id, number=number, call=call)
            else:
                yield FailedImage(number=number, error=_describe_open(call, result))

    def _note(self, outcome: Outcome) -> Outcome:
        self._outcomes[outcome.number] = outcome
        return outcome

    def _is_made(self, number: int, image_id: str) -> bool:
        # The history has what was stored after the caller lost interest.
        outcome = self._outcomes.get(number)
        return _is_safe(outcome) or self._once.build_earlier().exists(image_id)

    def _may_exist(self, call: Call) -> bool:
        """Return whether the call was sent, and may still make an image."""
        errors = map(self._error, call.numbers)
        return call.id in self._open or any(
            isinstance(error, Unfinished | StorageError)
            or (isinstance(error, Cancelled) and not error.settled)
            for error in errors
        )

    def _has_failed(self, call: Call, made: set[int]) -> bool:
        """Return whether the call has ended without an image for good."""
        return made.isdisjoint(call.numbers) and any(
            isinstance(error, BackendError) for error in map(self._error, call.numbers)
        )

    def _error(self, number: int) -> BaseException | None:
        outcome = self._outcomes.get(number)
        return outcome.error if isinstance(outcome, FailedImage) else None


def _is_safe(outcome: Outcome | None) -> bool:
    if isinstance(outcome, FailedImage):
        error = outcome.error
        return isinstance(error, StorageError) and error.rescued_at is not None
    return outcome is not None


def _describe_open(call: Call, result: "ResumeResult | None") -> ImagenError:
    """Return the error of a call that is still open, or has failed while it was."""
    error = result.error if result is not None else None
    if result is not None and result.closed and isinstance(error, ImagenError):
        return error
    message = error.message if isinstance(error, ImagenError) else "It is still open."
    hint = error.hint if isinstance(error, ImagenError) else ""
    advice = f"{describe_forgetting(call)} --fresh starts a new command."
    return Unfinished(message, hint=f"{hint} {advice}".strip())

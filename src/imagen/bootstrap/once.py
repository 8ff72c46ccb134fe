"""Commands that are paid once: plans, their identity, and how they are run."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from imagen.adapters.system.random import random_int
from imagen.bootstrap.runtime import Runtime
from imagen.domain import events
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.result import mark_strict
from imagen.engine.cancellation import Cancellation

if TYPE_CHECKING:
    from imagen.bootstrap.output import OutputOptions
    from imagen.bootstrap.parameters import SweepParameters
    from imagen.domain.call import Call, OutputTarget
    from imagen.domain.command import Command, CommandName
    from imagen.domain.events import Event, Listener
    from imagen.domain.idempotency import StoredRequest
    from imagen.domain.job import GenerationPlan
    from imagen.domain.reference import ReferenceImage
    from imagen.domain.request import GenerationRequest
    from imagen.domain.result import FailedImage, StoredImage
    from imagen.domain.sweep import SweepPlan
    from imagen.usecases.earlier import FindEarlierImages
    from imagen.usecases.generate import GenerateImages, Work
    from imagen.usecases.once import RunOnce
    from imagen.usecases.remaining import Remaining
    from imagen.usecases.resume import ResumeCalls
    from imagen.usecases.sweep import SweepImages

PlanT = TypeVar("PlanT")


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """How a command treats an earlier one.

    Attributes:
        key: The idempotency key; None for none.
        fresh: Whether an interrupted identical command is left alone.
        unrecorded: Whether calls that may cost money are sent without a record if
            none can be written.
    """

    key: str | None = None
    fresh: bool = False
    unrecorded: bool = False

    def __post_init__(self) -> None:
        from imagen.domain.idempotency import LONGEST_KEY  # noqa: PLC0415 - rare

        if self.key is not None and not 1 <= len(self.key) <= LONGEST_KEY:
            raise InvalidRequest(
                f"A key has 1 to {LONGEST_KEY} characters, and this one has "
                f"{len(self.key)}."
            )


ONCE = Repetition()


class PlannedCommand(msgspec.Struct, Generic[PlanT], frozen=True, kw_only=True):
    """The plan of a command, ready to be run once.

    Attributes:
        strict: Whether an image that differs from the request is an error.
        identify: Returns the identity of the command.
        check: Checks the budgets for calls, without a lasting reservation.
    """

    plan: PlanT
    work: "Work"
    repetition: Repetition
    strict: bool
    identify: "Callable[[], Command]"
    check: "Callable[[Sequence[Call]], None]"
    build_once: "Callable[[], RunOnce]"

    @property
    def is_recorded(self) -> bool:
        """True if the command is recorded before its first call."""
        work = self.work
        return work.may_cost or work.images > 1 or self.repetition.key is not None

    def outcomes(
        self, cancellation: Cancellation
    ) -> "Generator[StoredImage | FailedImage]":
        """Yield the result of each image; continue the interrupted command, if any.

        Closing the generator interrupts the command.

        Raises:
            InvalidRequest: the key belongs to another request.
            OverBudget, JournalError, Unauthorized, Misconfigured: nothing was sent.
            Cancelled: cancelled while it waited for another process.
        """
        if self.is_recorded:
            outcomes = self.build_once().outcomes(
                self.identify(), self.work, cancellation
            )
        else:
            outcomes = self.work.run(self.work.calls, cancellation)
        with closing(outcomes):
            for outcome in outcomes:
                # Here, because images of an earlier run have to be as requested now.
                yield mark_strict(outcome) if self.strict else outcome

    def check_budget(self) -> "Remaining | None":
        """Check the budgets for what is left to send, and return that.

        Returns:
            None if no interrupted command would be continued.

        Raises:
            InvalidRequest: the key belongs to another request.
            OverBudget: a budget does not allow it.
            JournalError: the budgets cannot be checked.
        """
        left = None
        if self.is_recorded:
            left = self.build_once().find_remaining(self.identify(), self.work)
        calls = self.work.calls
        if left is not None:
            # Under other ids: the journal may have those of the dead process.
            calls = [
                msgspec.structs.replace(call, id=f"{call.id} estimate")
                for call in left.unsent
            ]
        self.work.check_price(calls)
        self.check(calls)
        return left


def plan_generation(
    runtime: Runtime,
    use_case: "GenerateImages",
    request: "GenerationRequest",
    *,
    name: "CommandName" = "generate",
    repetition: Repetition = ONCE,
) -> "PlannedCommand[GenerationPlan]":
    """Plan `generate` or `rerun`.

    Raises:
        InvalidRequest: a value is invalid, or not supported by the backend.
        OverBudget: a call exceeds the limit of a single call.
    """
    from imagen.usecases.generate import Work  # noqa: PLC0415

    use_case.records.may_skip |= repetition.unrecorded
    plan = use_case.plan(msgspec.structs.replace(request, max_cost=None))
    asked, target = [(request, plan)], use_case.store.place
    return PlannedCommand(
        plan=plan,
        check=partial(use_case.check_budget, plan),
        work=Work(
            calls=use_case.build_calls(plan),
            send=lambda calls, stop: use_case.outcomes(plan, stop, calls=calls),
            max_cost=request.max_cost,
        ),
        repetition=repetition,
        strict=request.strict,
        identify=partial(_identify, runtime, name, asked, target, repetition),
        build_once=partial(_build_once, runtime, [use_case]),
    )


def plan_sweep(
    runtime: Runtime,
    prompt: str,
    parameters: "SweepParameters",
    *,
    backend: str | Sequence[str] | None,
    output: "OutputOptions",
    at_once: int | None,
    listen: "Listener",
    repetition: Repetition = ONCE,
) -> "tuple[SweepImages, PlannedCommand[SweepPlan]]":
    """Build the use case of a sweep, and plan it.

    Raises:
        InvalidRequest: a value is invalid, or not supported by a backend.
        OverBudget: a call exceeds the limit of a single call.
    """
    from imagen.bootstrap.generation import build_sweep  # noqa: PLC0415
    from imagen.bootstrap.requests import (  # noqa: PLC0415
        build_sweep_requests,
        parse_max_cost,
    )
    from imagen.usecases.generate import Work  # noqa: PLC0415

    grid, requests = build_sweep_requests(runtime, prompt, parameters, backend=backend)
    names = [name for name, _ in requests]
    use_case = build_sweep(runtime, names, output=output, listen=listen)
    use_case.records.may_skip |= repetition.unrecorded
    plan = use_case.plan(grid, requests)
    makers = list(use_case.makers.values())
    asked = [
        (request, each) for (_, request), each in zip(requests, plan.plans, strict=True)
    ]
    planned = PlannedCommand(
        plan=plan,
        check=partial(use_case.check_budget, plan),
        work=Work(
            calls=use_case.build_calls(plan),
            send=lambda calls, stop: use_case.outcomes(
                plan, stop, at_once=at_once, calls=calls
            ),
            max_cost=parse_max_cost(parameters.get("max_cost")),
        ),
        repetition=repetition,
        strict=any(request.strict for _, request in requests),
        identify=partial(
            _identify, runtime, "sweep", asked, makers[0].store.place, repetition
        ),
        build_once=partial(_build_once, runtime, makers),
    )
    return use_case, planned


def continue_command(
    runtime: Runtime,
    request: "StoredRequest",
    *,
    listen: "Listener",
    cancellation: Cancellation,
) -> "Generator[StoredImage | FailedImage]":
    """Yield the results of an interrupted command: resume and send what is left.

    Raises:
        InvalidRequest: the command cannot be continued, or another process runs it.
        OverBudget, JournalError, Unauthorized, Misconfigured: nothing was sent.
    """
    from imagen.bootstrap.generation import build_recorded  # noqa: PLC0415
    from imagen.usecases.generate import Work  # noqa: PLC0415

    calls = [each.call for each in request.calls if each.call is not None]
    makers = {
        call.plan.instance.name: build_recorded(runtime, call, listen=listen)
        for call in calls
    }

    def send(
        unsent: "Sequence[Call]", stop: Cancellation
    ) -> "Iterator[StoredImage | FailedImage]":
        for name, maker in makers.items():
            own = [call for call in unsent if call.plan.instance.name == name]
            if own:
                yield from maker.outcomes(_with_content(runtime, own), stop, calls=own)

    once = _build_once(runtime, list(makers.values()))
    work = Work(calls=calls, send=send)
    strict = {n for call in calls if call.plan.request.strict for n in call.numbers}
    for outcome in once.continue_request(request, work, cancellation):
        yield mark_strict(outcome) if outcome.number in strict else outcome


def forget_finished(runtime: Runtime) -> None:
    """Forget the interrupted commands whose images were all stored by a resume."""
    from imagen.usecases import once  # noqa: PLC0415

    keys = runtime.stores.keys
    once.forget_finished(keys, keys, _build_earlier(runtime))


def count_remaining(runtime: Runtime, request: "StoredRequest") -> "Remaining":
    """Return what a command has made, and what is left of it."""
    from imagen.usecases.remaining import assess  # noqa: PLC0415

    return assess(
        request.calls,
        exists=_build_earlier(runtime).exists,
        now=runtime.clock.now(),
        random_int=random_int,
    )


def _with_content(runtime: Runtime, calls: "Sequence[Call]") -> "GenerationPlan":
    """Return a plan whose jobs have the content of the calls' reference images."""
    from imagen.bootstrap.generation import build_rerun  # noqa: PLC0415

    replace, prepare = msgspec.structs.replace, build_rerun(runtime, pipes=False)

    def load(image: "ReferenceImage", call: "Call") -> "ReferenceImage":
        return prepare.load_reference(image, f"{call.target.folder}/")

    jobs = [
        replace(
            call.job,
            images=tuple(load(image, call) for image in call.job.images),
            mask=None if call.job.mask is None else load(call.job.mask, call),
        )
        for call in calls
    ]
    return replace(calls[0].plan, jobs=tuple(jobs))


def _identify(
    runtime: Runtime,
    name: "CommandName",
    requests: "Sequence[tuple[GenerationRequest, GenerationPlan]]",
    target: "OutputTarget",
    repetition: Repetition,
) -> "Command":
    from imagen.domain.command import Command, identify_command  # noqa: PLC0415

    @cache
    def describe_config(backend: str) -> str:
        # Only the names of secrets are in the options.
        options = runtime.find_backend(backend).options
        fields: dict[str, object] = msgspec.to_builtins(options, enc_hook=str)
        # An option may name a file, such as a workflow: its content counts.
        hashes = {name: _hash_file(runtime, value) for name, value in fields.items()}
        encoded = msgspec.json.encode((fields, hashes), order="deterministic")
        return encoded.decode()

    described = [
        (request, plan, describe_config(plan.instance.name))
        for request, plan in requests
    ]
    fingerprint = identify_command(name, described, target)
    key, fresh = repetition.key, repetition.fresh
    return Command(name=name, fingerprint=fingerprint, key=key, fresh=fresh)


def _hash_file(runtime: Runtime, value: object) -> str:
    """Return the SHA-256 of the file that an option names; "" if it names none."""
    from hashlib import file_digest  # noqa: PLC0415 - loads OpenSSL

    if not isinstance(value, str):
        return ""
    try:
        path = runtime.environment.expand_path(value)
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, Misconfigured):
        return ""


def _build_once(runtime: Runtime, makers: "Sequence[GenerateImages]") -> "RunOnce":
    from imagen.usecases.once import RunOnce  # noqa: PLC0415

    stores, maker = runtime.stores, makers[0]

    def forward(event: "Event") -> None:
        # The run of the command itself ends later.
        if not isinstance(event, events.Finished):
            maker.listen(event)

    return RunOnce(
        keys=stores.keys,
        requests=stores.keys,
        journal=stores.journal,
        history=stores.history,
        records=maker.records,
        build_resume=cache(partial(_build_resume, runtime, makers, forward)),
        build_earlier=cache(partial(_build_earlier, runtime)),
        clock=maker.clock,
        random_int=maker.random_int,
        listen=maker.listen,
    )


def _build_resume(
    runtime: Runtime, makers: "Sequence[GenerateImages]", listen: "Listener"
) -> "ResumeCalls":
    """Build what finishes open calls of the command that is continued."""
    from imagen.usecases.resume import ResumeCalls  # noqa: PLC0415

    by_name = {maker.instance.name: maker for maker in makers}
    maker = makers[0]
    return ResumeCalls(
        journal=runtime.stores.journal,
        records=maker.records,
        backend_of=lambda instance: by_name[instance.name].backend,
        # The same place; only this process may have the stream of `-`.
        store_of=lambda _: maker.store,
        clock=maker.clock,
        listen=listen,
    )


def _build_earlier(runtime: Runtime) -> "FindEarlierImages":
    from imagen.bootstrap.library import build_find, build_trash  # noqa: PLC0415
    from imagen.usecases.earlier import FindEarlierImages  # noqa: PLC0415

    folder = runtime.environment.data_dir / "rescued"

    def restore(image_id: str) -> bool:
        trash = build_trash(runtime)
        if trash.trash.find(image_id) is None:
            return False
        trash.undo(image_id)
        return True

    def find_rescued(image_id: str) -> str | None:
        return next((str(path) for path in folder.glob(f"{image_id}.*")), None)

    return FindEarlierImages(
        find=build_find(runtime, pipes=False),
        history=runtime.stores.history,
        restore=restore,
        fetch=partial(_fetch_copy, runtime),
        find_rescued=find_rescued,
        is_rescued=lambda location: folder in Path(location).parents,
    )


def _fetch_copy(runtime: Runtime, image_id: str) -> "StoredImage | None":
    """Download an image from the cloud; return None if that is not set up."""
    from imagen.bootstrap.library import build_fetch  # noqa: PLC0415 - rare
    from imagen.bootstrap.output import OutputOptions  # noqa: PLC0415

    if runtime.environment.missing_for_supabase or not runtime.settings.owner_user_id:
        return None
    fetch = build_fetch(
        runtime, output=OutputOptions(), count=1, listen=events.ignore_event
    )
    return fetch.run(image_id)

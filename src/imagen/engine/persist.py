"""Store the images that a backend returned, and record their cost."""

import msgspec
from msgspec.structs import replace

from imagen.domain import events
from imagen.domain.call import Call, Received, usage_row
from imagen.domain.describe import build_sidecar
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    Refused,
    StorageError,
    Unfinished,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.money.cost import (
    FREE,
    Cost,
    check_proportion,
    describe_final_cost,
    format_micros,
    split_cost,
)
from imagen.domain.money.price import calculate_cost, measure_usage
from imagen.domain.result import FailedImage, Generated, GeneratedImage, StoredImage
from imagen.engine.recorder import CallRecorder, Recorder
from imagen.engine.store import StoreImage
from imagen.formats.container import ImageFacts
from imagen.version import __version__


class PersistImages(msgspec.Struct, frozen=True, kw_only=True):
    """Stores the images of one call, and closes the call with its cost.

    Attributes:
        again: Whether the images may be stored already, by a process that has died.
    """

    store: StoreImage
    records: Recorder
    listen: events.Listener = events.ignore_event
    again: bool = False

    def run(
        self, record: CallRecorder, received: Received
    ) -> list[StoredImage | FailedImage]:
        """Store the images, and close the call; an error becomes a failed image.

        The call stays open if an output is delayed or could not be stored anywhere.

        Returns:
            An outcome for each requested image, in order. Images beyond the requested
            ones are `extras` of the last one that is stored.
        """
        generated = received.generated.settle()
        call, received = record.call, replace(received, generated=generated)
        parsed = {
            position: self._parse(call, image, extra=position >= call.job.count)
            for position, image in generated.outputs.items()
        }
        kept = [each for each in parsed.values() if isinstance(each, _Output)]
        cost, cost_note = _cost(call, received, kept)
        shares = iter(split_cost(cost, parts=max(1, _count_made(generated, kept))))
        known = {
            position: self.records.find_in_history(call.output_id(position))
            for position in (parsed if self.again else ())
        }
        last, extra_note = _describe_extras(call, generated)
        known_images = (
            position
            for position, output in parsed.items()
            if isinstance(output, _Output) and output.facts is not None
        )
        noted = max((p for p in known_images if p < call.job.count), default=None)
        notes = tuple(filter(None, (extra_note, cost_note)))
        for note in notes if noted is None else ():
            self.listen(events.Warned(message=note))
        outcomes: list[StoredImage | FailedImage] = []
        for position in range(max(last, call.job.count - 1) + 1):
            output = parsed.get(position)
            if not isinstance(output, _Output):
                error = output or _missing_error(record, generated, position)
                outcomes.append(
                    FailedImage(number=_number(call, position), error=error)
                )
            else:
                outcomes.append(
                    self._store(
                        *(call, received, output, position, next(shares)),
                        found=known.get(position),
                        notes=notes if position == noted else (),
                    )
                )
            self._report(outcomes[-1], extra=position >= call.job.count)
        over = call.reserved is not None and (cost.micros or 0) > call.reserved
        if extra_note and over:
            self.listen(events.Warned(message=_describe_excess(call, cost)))
        new = [
            image
            for position, image in enumerate(map(_stored_image, outcomes))
            if image is not None and known.get(position) is None
        ]
        self.records.add_to_history(new, owner=self.store.place.owner)
        self._close(record, received, outcomes, kept, cost)
        return _attach_extras(outcomes, count=call.job.count)

    def fail(self, number: int, error: BaseException) -> FailedImage:
        """Report a failed image, and return it as an outcome."""
        code = error.code if isinstance(error, ImagenError) else "internal_error"
        self.listen(events.Failed(number=number, code=code, message=str(error)))
        return FailedImage(number=number, error=error)

    def _report(self, outcome: StoredImage | FailedImage, *, extra: bool) -> None:
        image = _stored_image(outcome)
        if extra:
            if isinstance(outcome, FailedImage):
                error = outcome.error
                hint = error.hint if isinstance(error, ImagenError) else ""
                words = f"extra output: {error} {hint}".rstrip()
                self.listen(events.Warned(message=words))
            if image is not None:
                self.listen(events.StoredExtra(location=image.location))
        elif isinstance(outcome, FailedImage):
            self.fail(outcome.number, outcome.error)
        else:
            self.listen(events.Stored(number=outcome.number, location=outcome.location))

    def _parse(
        self, call: Call, image: GeneratedImage, *, extra: bool
    ) -> "_Output | Exception":
        try:
            facts = self.store.read_facts(
                image.content,
                backend=call.plan.instance.name,
                sides=call.job.size.sides,
            )
        except Exception as error:  # noqa: BLE001 - one image must not affect the others
            # What costs nothing can be made again; an extra output, such as a video
            # beside the image, is meant to be no image.
            if not ((call.may_cost or extra) and image.content):
                return error
            return _Output(image=image, facts=None, problem=str(error))
        return _Output(image=image, facts=facts)

    def _store(
        self,
        call: Call,
        received: Received,
        output: "_Output",
        position: int,
        cost: Cost,
        *,
        found: HistoryEntry | None,
        notes: tuple[str, ...],
    ) -> StoredImage | FailedImage:
        plan, content, facts = call.plan, output.image.content, output.facts
        number, image_id = _number(call, position), call.output_id(position)
        if found is not None and facts is not None:
            # The user may have moved or renamed the file since.
            return StoredImage(
                number=number,
                location=found.location,
                content=content,
                facts=facts,
                sidecar=found.sidecar,
            )
        if facts is None:
            return self.store.rescue_bytes(
                content, name=image_id, number=number, problem=output.problem
            )
        try:
            finished = self.store.finish(
                content,
                facts,
                fit=plan.request.fit,
                size=plan.size,
                upscale=plan.request.fit_upscale,
            )
            sidecar = build_sidecar(
                call,
                received,
                output.image,
                position=position,
                facts=finished.facts,
                cost=cost,
                version=__version__,
                unfitted=finished.unfitted,
                notes=(
                    *finished.notes,
                    *finished.losses,
                    *facts.warnings,
                    *output.image.warnings,
                    *notes,
                ),
            )
            outcome = self.store.save(
                finished,
                sidecar,
                number=number,
                count=plan.count,
                at=plan.at,
                source_type=received.generated.source_type,
                again=self.again,
                replaces=call.replaces.get(number)
                if position < call.job.count
                else None,
            )
        except Exception as error:  # noqa: BLE001 - a bug must not lose an image
            return self.store.rescue_bytes(
                content,
                name=image_id,
                number=number,
                problem=f"Internal error: {type(error).__name__}: {error}.",
            )
        reported = {*plan.parameter_report.warnings(), *finished.notes}
        for warning in sidecar.warnings:
            if warning not in reported:
                self.listen(events.Warned(message=warning))
        return outcome

    def _close(
        self,
        record: CallRecorder,
        received: Received,
        outcomes: "list[StoredImage | FailedImage]",
        kept: "list[_Output]",
        cost: Cost,
    ) -> None:
        if sum(map(_is_safe, outcomes)) < len(kept):
            record.leave_open("An image could not be stored anywhere.")
            return
        if delayed := received.generated.delayed:
            record.leave_open(next(iter(delayed.values())).reason)
            return
        record.close(
            usage_row(
                record.call,
                status="ok" if kept else "failed",
                cost=cost,
                latency_ms=received.latency_ms,
                images=len(kept),
                model=received.generated.model,
            )
        )


class _Output(msgspec.Struct, frozen=True, kw_only=True):
    """An output that is kept.

    Attributes:
        facts: The format and size; None for what is not an image that imagen stores.
        problem: Why it is not, in a sentence.
    """

    image: GeneratedImage
    facts: ImageFacts | None
    problem: str = ""


def _cost(call: Call, received: Received, kept: list[_Output]) -> tuple[Cost, str]:
    """Return the cost, and a sentence if it is unknown though a cost was expected."""
    cost = _calculate_cost(call, received, kept)
    cost, note = check_proportion(cost, expected=call.reserved)
    if cost.micros is None and call.reserved is not None and not note:
        note = describe_final_cost(cost, reserved=call.reserved)
    return cost, note


def _calculate_cost(call: Call, received: Received, kept: list[_Output]) -> Cost:
    """Return the cost by the price in the config, the backend's report, or the list."""
    plan, generated = call.plan, received.generated
    own_price = plan.instance.price is not None
    # Without a process that watched it, the duration includes time after the end.
    timed = own_price and received.observed
    if generated.cost.micros is not None and not own_price:
        return generated.cost
    if not call.may_cost:
        return FREE
    facts = [each.facts for each in kept if each.facts is not None]
    images = _count_made(generated, kept)
    # An output of unknown size counts with the requested one.
    unknown = (images - len(facts)) * call.job.size.megapixels
    megapixels = sum(each.width * each.height for each in facts) / 1e6 + unknown
    # Only the vendor knows whether it charges for images that it withholds.
    withheld = images < call.job.count
    used = measure_usage(
        generated.used,
        images=None if withheld else images,
        megapixels=None if withheld else megapixels,
        seconds=received.latency_ms / 1000 if timed else None,
    )
    return calculate_cost(plan.price, used)


def _count_made(generated: Generated, kept: list[_Output]) -> int:
    """Return the number of images that the vendor made, deleted ones as well."""
    return len(kept) + len(generated.delayed) + len(generated.deleted)


def _describe_extras(call: Call, generated: Generated) -> tuple[int, str]:
    """Return the last position of an output, and a sentence about those not asked for.

    The sentence is the same each time, so that a repeated save finds what is stored.
    """
    positions = {*generated.outputs, *generated.delayed, *generated.deleted}
    last, count = max(positions, default=-1), call.job.count
    if last < count:
        return last, ""
    ids = ", ".join(call.output_id(position) for position in range(count, last + 1))
    name = call.plan.instance.name
    return (
        last,
        f"{name} returned {last + 1} images, not {count}; "
        f"the others are stored as {ids}",
    )


def _describe_excess(call: Call, cost: Cost) -> str:
    spent, expected = map(format_micros, (cost.micros or 0, call.reserved or 0))
    return f"all images together cost {spent}; the expected cost was {expected}"


def _missing_error(
    record: CallRecorder, generated: Generated, position: int
) -> ImagenError:
    if (delayed := generated.delayed.get(position)) is not None:
        return Unfinished(delayed.reason, hint=record.describe_open())
    if (reason := generated.deleted.get(position)) is not None:
        return BackendError(reason)
    name = record.call.plan.instance.name
    return Refused(f"{name} returned too few images.")


def _attach_extras(
    outcomes: list[StoredImage | FailedImage], *, count: int
) -> list[StoredImage | FailedImage]:
    """Return the outcomes of the requested images; the last one has the extras."""
    requested = outcomes[:count]
    extras = tuple(filter(None, map(_stored_image, outcomes[count:])))
    for position, outcome in reversed([*enumerate(requested)]):
        if isinstance(outcome, StoredImage):
            requested[position] = replace(outcome, extras=extras)
            break
    return requested


def _number(call: Call, position: int) -> int:
    """Return the number of the requested image that the output is, or belongs to."""
    return call.job.number + min(position, call.job.count - 1)


def _stored_image(outcome: StoredImage | FailedImage) -> StoredImage | None:
    return outcome.rescued if isinstance(outcome, FailedImage) else outcome


def _is_safe(outcome: StoredImage | FailedImage) -> bool:
    if isinstance(outcome, StoredImage):
        return True
    error = outcome.error
    return isinstance(error, StorageError) and error.rescued_at is not None

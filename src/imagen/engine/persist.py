"""Store the images that a backend returned, and record their cost."""

import msgspec

from imagen.domain import events
from imagen.domain.call import Call, Received, usage_row
from imagen.domain.describe import build_sidecar
from imagen.domain.errors import ImagenError, Refused
from imagen.domain.money.cost import FREE, Cost, split_cost
from imagen.domain.money.price import calculate_cost, measure_usage
from imagen.domain.result import FailedImage, GeneratedImage, StoredImage
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

        The call stays open if an image could not be stored anywhere.

        Returns:
            An outcome for each requested image, in order.
        """
        call = record.call
        parsed = [self._parse(call, image) for image in self._requested(call, received)]
        whole = [image for image in parsed if isinstance(image, _Image)]
        cost = _cost(call, received, whole)
        shares = iter(split_cost(cost, parts=max(1, len(whole))))
        outcomes = [
            self._store(call, received, image, number, next(shares))
            if isinstance(image, _Image)
            else self.fail(number, image)
            for number, image in enumerate(parsed, start=call.job.number)
        ]
        missing = Refused(f"{call.plan.instance.name} returned too few images.")
        outcomes += [
            self.fail(call.job.number + number, missing)
            for number in range(len(parsed), call.job.count)
        ]
        stored = [image for image in map(_stored_image, outcomes) if image is not None]
        self._close(record, received, stored, whole, cost)
        return outcomes

    def fail(
        self, number: int, error: BaseException, rescued: StoredImage | None = None
    ) -> FailedImage:
        """Report a failed image, and return it as an outcome."""
        code = error.code if isinstance(error, ImagenError) else "internal_error"
        self.listen(events.Failed(number=number, code=code, message=str(error)))
        return FailedImage(number=number, error=error, rescued=rescued)

    def _requested(self, call: Call, received: Received) -> tuple[GeneratedImage, ...]:
        images, requested = received.generated.images, call.job.count
        if len(images) > requested:
            name = call.plan.instance.name
            self.listen(
                events.Warned(
                    message=f"{name} returned {len(images)} images, not {requested}; "
                    "the others are dropped"
                )
            )
        return images[:requested]

    def _parse(self, call: Call, image: GeneratedImage) -> "_Image | Exception":
        try:
            facts = self.store.read_facts(
                image.content, backend=call.plan.instance.name
            )
        except Exception as error:  # noqa: BLE001 - one image must not affect the others
            return error
        return _Image(image=image, facts=facts)

    def _store(
        self, call: Call, received: Received, parsed: "_Image", number: int, cost: Cost
    ) -> StoredImage | FailedImage:
        plan, content = call.plan, parsed.image.content
        image_id = call.image_ids[number - call.job.number]
        try:
            finished = self.store.finish(
                content, parsed.facts, fit=plan.request.fit, size=plan.size
            )
            sidecar = build_sidecar(
                image_id=image_id,
                created_at=received.at,
                plan=plan,
                job=call.job,
                generated=received.generated,
                image=parsed.image,
                facts=finished.facts,
                cost=cost,
                latency_ms=received.latency_ms,
                caller=call.caller,
                usage_id=call.id if call.may_cost else None,
                version=__version__,
                notes=(*finished.notes, *finished.losses),
            )
            outcome = self.store.save(
                finished,
                sidecar,
                number=number,
                count=plan.request.count,
                at=plan.at,
                source_type=received.generated.source_type,
                again=self.again,
            )
        except Exception as error:  # noqa: BLE001 - a bug must not lose an image
            bare = self.store.rescue_bare(
                content, parsed.facts, name=image_id, number=number, error=error
            )
            return self.fail(number, bare.error)
        reported = {*plan.parameter_report.warnings(), *finished.notes}
        for warning in sidecar.warnings:
            if warning not in reported:
                self.listen(events.Warned(message=warning))
        if isinstance(outcome, FailedImage):
            return self.fail(number, outcome.error, outcome.rescued)
        self.listen(events.Stored(number=number, location=outcome.location))
        return outcome

    def _close(
        self,
        record: CallRecorder,
        received: Received,
        stored: list[StoredImage],
        whole: "list[_Image]",
        cost: Cost,
    ) -> None:
        self.records.add_to_history(stored, owner=self.store.place.owner)
        if len(stored) < len(whole):
            record.leave_open("An image could not be stored anywhere.")
            return
        record.close(
            usage_row(
                record.call,
                status="ok" if whole else "failed",
                cost=cost,
                latency_ms=received.latency_ms,
                images=len(whole),
                model=received.generated.model,
            )
        )


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image as the backend returned it, and its format and size."""

    image: GeneratedImage
    facts: ImageFacts


def _cost(call: Call, received: Received, whole: list[_Image]) -> Cost:
    """Return the cost by the price in the config, the backend's report, or the list."""
    plan, generated = call.plan, received.generated
    own_price = plan.instance.price is not None
    # Without a process that watched it, the duration includes time after the end.
    timed = own_price and received.observed
    if generated.cost.micros is not None and not own_price:
        return generated.cost
    if not call.may_cost:
        return FREE
    used = measure_usage(
        generated.used,
        images=len(whole),
        megapixels=sum(each.facts.width * each.facts.height for each in whole) / 1e6,
        seconds=received.latency_ms / 1000 if timed else None,
    )
    return calculate_cost(plan.price, used)


def _stored_image(outcome: StoredImage | FailedImage) -> StoredImage | None:
    return outcome.rescued if isinstance(outcome, FailedImage) else outcome

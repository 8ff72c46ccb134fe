"""From what a backend returned to files, history and ledger."""

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
    """Stores the images of one call after the other, and writes down what they cost.

    Attributes:
        store: What puts them where they belong.
        records: What is written down.
        listen: Hears what happens.
        again: Whether an image may be stored already, by a process that has died since.
    """

    store: StoreImage
    records: Recorder
    listen: events.Listener = events.ignore_event
    again: bool = False

    def run(
        self, record: CallRecorder, received: Received
    ) -> list[StoredImage | FailedImage]:
        """Keep what one call returned, and close it; whatever fails is an outcome.

        A call of which an image could be stored nowhere stays open.
        """
        call = record.call
        looked = [self._look(call, image) for image in self._counted(call, received)]
        whole = [image for image in looked if isinstance(image, _Image)]
        cost = _cost(call, received, whole)
        shares = iter(split_cost(cost, parts=max(1, len(whole))))
        outcomes = [
            self._keep(call, received, image, number, next(shares))
            if isinstance(image, _Image)
            else self.fail(number, image)
            for number, image in enumerate(looked, start=call.job.number)
        ]
        withheld = Refused(f"{call.plan.instance.name} returned too few images.")
        outcomes += [
            self.fail(call.job.number + number, withheld)
            for number in range(len(looked), call.job.count)
        ]
        kept = [one for one in map(_kept, outcomes) if one is not None]
        self._close(record, received, kept, whole, cost)
        return outcomes

    def fail(
        self, number: int, error: BaseException, rescued: StoredImage | None = None
    ) -> FailedImage:
        """Return the outcome of an image that does not come, and say so."""
        code = error.code if isinstance(error, ImagenError) else "internal_error"
        self.listen(events.Failed(number=number, code=code, message=str(error)))
        return FailedImage(number=number, error=error, rescued=rescued)

    def _counted(self, call: Call, received: Received) -> tuple[GeneratedImage, ...]:
        images, asked = received.generated.images, call.job.count
        if len(images) > asked:
            who = call.plan.instance.name
            self.listen(
                events.Warned(
                    message=f"{who} returned {len(images)} images, not {asked}; "
                    "the others are dropped"
                )
            )
        return images[:asked]

    def _look(self, call: Call, image: GeneratedImage) -> "_Image | Exception":
        try:
            facts = self.store.read_facts(
                image.content, backend=call.plan.instance.name
            )
        except Exception as error:  # noqa: BLE001 - one image takes no other along
            return error
        return _Image(image=image, facts=facts)

    def _keep(
        self, call: Call, received: Received, looked: "_Image", number: int, cost: Cost
    ) -> StoredImage | FailedImage:
        plan, content = call.plan, looked.image.content
        image_id = call.image_ids[number - call.job.number]
        try:
            finished = self.store.finish(
                content, looked.facts, fit=plan.request.fit, size=plan.size
            )
            sidecar = build_sidecar(
                image_id=image_id,
                created_at=received.at,
                plan=plan,
                job=call.job,
                generated=received.generated,
                image=looked.image,
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
                again=self.again,
            )
        except Exception as error:  # noqa: BLE001 - and none is lost by a fault of ours
            bare = self.store.rescue_bare(
                content, looked.facts, name=image_id, number=number, why=error
            )
            return self.fail(number, bare.error)
        said = {*plan.parameter_report.warnings(), *finished.notes}
        for warning in sidecar.warnings:
            if warning not in said:
                self.listen(events.Warned(message=warning))
        if isinstance(outcome, FailedImage):
            return self.fail(number, outcome.error, outcome.rescued)
        self.listen(events.Stored(number=number, location=outcome.location))
        return outcome

    def _close(
        self,
        record: CallRecorder,
        received: Received,
        kept: list[StoredImage],
        whole: "list[_Image]",
        cost: Cost,
    ) -> None:
        self.records.add_to_history(kept, owner=self.store.place.owner)
        if len(kept) < len(whole):
            record.leave_open("An image could be stored nowhere.")
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
    """An image as it came, and what it is."""

    image: GeneratedImage
    facts: ImageFacts


def _cost(call: Call, received: Received, whole: list[_Image]) -> Cost:
    """Return what the call cost, as the user says, the backend, or its price."""
    plan, generated = call.plan, received.generated
    own_price = plan.instance.price is not None
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


def _kept(outcome: StoredImage | FailedImage) -> StoredImage | None:
    return outcome.rescued if isinstance(outcome, FailedImage) else outcome

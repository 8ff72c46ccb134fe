"""Make the images that somebody asked for, and store each with how it was made."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import msgspec

from imagen.domain import events
from imagen.domain.cost import Cost, split_evenly
from imagen.domain.describe import describe_image
from imagen.domain.errors import Cancelled, ImagenError, Refused
from imagen.domain.ids import new_id
from imagen.domain.instance import Instance
from imagen.domain.plan import GenerationPlan, ImageJob, plan_images
from imagen.domain.request import GenerationRequest
from imagen.domain.result import (
    FailedImage,
    Generated,
    GeneratedImage,
    GenerationReport,
    StoredImage,
)
from imagen.domain.retry import RetryPolicy
from imagen.domain.seed import Draw
from imagen.ports.backend import ImageBackend
from imagen.ports.clock import Clock
from imagen.usecases.attempt import JobWatch, attempt
from imagen.usecases.cancellation import Cancellation
from imagen.usecases.crew import run_together
from imagen.usecases.store import StoreImage
from imagen.version import __version__


class GenerateImages(msgspec.Struct, frozen=True, kw_only=True):
    """The one use case that spends money.

    Attributes:
        instance: What the config says of the backend.
        backend: What makes the images.
        store: What puts them where they belong.
        clock: The time.
        draw: The dice.
        caller: Who is asking, for the sidecar.
        retry: When to ask again.
        listen: Hears what happens.
    """

    instance: Instance
    backend: ImageBackend
    store: StoreImage
    clock: Clock
    draw: Draw
    caller: str = ""
    retry: RetryPolicy = RetryPolicy()
    listen: events.Listener = events.unheard

    def plan(self, request: GenerationRequest) -> GenerationPlan:
        """Decide everything, send nothing.

        Raises:
            InvalidRequest: something makes no sense, here or to the backend.
        """
        destination, now = self.store.destination, self.clock.now()
        destination.check(
            at=now,
            backend=self.instance.name,
            count=request.count,
            sidecar=self.store.sidecar,
        )
        return plan_images(
            request,
            instance=self.instance,
            can=self.backend.capabilities(),
            draw=self.draw,
            at=now,
            media_type=destination.media_type,
        )

    def run(
        self, request: GenerationRequest, *, cancellation: Cancellation | None = None
    ) -> GenerationReport:
        """Make and store all the images, and return what became of them, in order.

        Raises:
            InvalidRequest: nothing was sent.
        """
        plan = self.plan(request)
        outcomes = list(self.outcomes(plan, cancellation or Cancellation()))
        outcomes.sort(key=lambda outcome: outcome.number)
        return GenerationReport(
            stored=tuple(image for image in outcomes if isinstance(image, StoredImage)),
            failed=tuple(image for image in outcomes if isinstance(image, FailedImage)),
        )

    def outcomes(
        self, plan: GenerationPlan, cancellation: Cancellation
    ) -> Iterator[StoredImage | FailedImage]:
        """Carry out a plan, and yield what becomes of each image once it is known.

        One that fails does not keep the others from being made.
        """
        count = plan.request.count
        self.listen(events.Planned(backend=self.instance.name, images=count))
        for warning in plan.honesty.warnings():
            self.listen(events.Warned(message=warning))
        watches = [
            JobWatch(number=job.number, clock=self.clock, listen=self.listen)
            for job in plan.jobs
        ]
        for watch in watches:
            cancellation.then(watch.stop)
        calls = run_together(
            [
                partial(self._call, plan, job, watch)
                for job, watch in zip(plan.jobs, watches, strict=True)
            ],
            at_once=self.instance.concurrency,
            cancellation=cancellation,
            clock=self.clock,
        )
        missing = set(range(1, count + 1))
        with closing(calls):
            for made in calls:
                missing -= {outcome.number for outcome in made}
                yield from made
        for number in sorted(missing):
            yield self._fail(number, Cancelled("Cancelled, without an answer in time."))
        self.listen(events.Finished())

    def _call(
        self, plan: GenerationPlan, job: ImageJob, watch: JobWatch
    ) -> list[StoredImage | FailedImage]:
        """Make one call, and store what it returns; whatever fails is an outcome."""
        numbers = range(job.number, job.number + job.count)
        try:
            watch.wait(0)
            self.listen(events.Started(number=job.number))
            began = self.clock.monotonic()
            generated = attempt(
                self.backend,
                job,
                watch=watch,
                clock=self.clock,
                listen=self.listen,
                retry=self.retry,
                may_cost=plan.may_cost,
            )
            latency_ms = round((self.clock.monotonic() - began) * 1000)
            images = self._counted(generated, job)
            costs = split_evenly(generated.cost, parts=max(1, len(images)))
        except BaseException as error:  # noqa: BLE001 - one call takes no other along
            return [self._fail(number, error) for number in numbers]
        outcomes = [
            self._keep(plan, job, generated, image, number, cost, latency_ms)
            for number, image, cost in zip(numbers, images, costs, strict=False)
        ]
        withheld = Refused(f"{self.instance.name} returned too few images.")
        outcomes += [self._fail(number, withheld) for number in numbers[len(images) :]]
        return outcomes

    def _counted(
        self, generated: Generated, job: ImageJob
    ) -> tuple[GeneratedImage, ...]:
        many, asked = len(generated.images), job.count
        if many > asked:
            message = f"{self.instance.name} returned {many} images, not {asked}"
            self.listen(events.Warned(message=f"{message}; the others are dropped"))
        return generated.images[:asked]

    def _keep(  # noqa: PLR0917 - everything that is known of one image
        self,
        plan: GenerationPlan,
        job: ImageJob,
        generated: Generated,
        image: GeneratedImage,
        number: int,
        cost: Cost,
        latency_ms: int,
    ) -> StoredImage | FailedImage:
        now = self.clock.now()
        image_id = new_id(now, self.draw)
        try:
            facts = self.store.look(image.content, backend=self.instance.name)
        except Exception as error:  # noqa: BLE001 - one image takes no other along
            return self._fail(number, error)
        try:
            finished = self.store.finish(
                image.content, facts, fit=plan.request.fit, size=plan.size
            )
            sidecar = describe_image(
                image_id=image_id,
                created_at=now,
                plan=plan,
                job=job,
                generated=generated,
                image=image,
                facts=finished.facts,
                cost=cost,
                latency_ms=latency_ms,
                caller=self.caller,
                version=__version__,
                notes=(*finished.notes, *finished.losses),
            )
            outcome = self.store.save(
                finished, sidecar, number=number, count=plan.request.count, at=plan.at
            )
        except Exception as error:  # noqa: BLE001 - and none is lost by a fault of ours
            bare = self.store.save_bare(
                image.content, facts, name=image_id, number=number, why=error
            )
            return self._fail(number, bare.error)
        said = {*plan.honesty.warnings(), *finished.notes}
        for warning in sidecar.warnings:
            if warning not in said:
                self.listen(events.Warned(message=warning))
        if isinstance(outcome, FailedImage):
            return self._fail(number, outcome.error, outcome.rescued)
        self.listen(events.Stored(number=number, location=outcome.location))
        return outcome

    def _fail(
        self, number: int, error: BaseException, rescued: StoredImage | None = None
    ) -> FailedImage:
        code = error.code if isinstance(error, ImagenError) else "internal_error"
        self.listen(events.Failed(number=number, code=code, message=str(error)))
        return FailedImage(number=number, error=error, rescued=rescued)

"""What one account at Replicate is asked for: models, images, old jobs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import msgspec

from imagen.adapters.backends.replicate.answers import NotThereError, NotValidError
from imagen.adapters.backends.replicate.catalog import (
    Catalog,
    Model,
    OwnInputs,
    Target,
)
from imagen.adapters.backends.replicate.client import Api
from imagen.adapters.backends.replicate.download import Downloads
from imagen.adapters.backends.replicate.inputs import Attached, ModelInputs
from imagen.adapters.backends.replicate.models import known_names
from imagen.adapters.backends.replicate.pictures import (
    LARGEST_INLINE,
    Picture,
    digests_of,
    mask_of,
    picture_of,
)
from imagen.adapters.backends.replicate.run import PredictionRun
from imagen.adapters.backends.replicate.search import Wanted, find_like
from imagen.adapters.http import BackgroundCall, nothing_sent
from imagen.domain.cost import UNTOUCHED
from imagen.domain.errors import BackendError, InvalidRequest
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.suggestion import meant
from imagen.ports.backend import Readiness, Watch
from imagen.ports.clock import Clock


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as one model is asked for it.

    Attributes:
        job: What is wanted.
        target: Of what it is asked.
        model: What is known of that.
        inputs: What it takes.
        attached: The job's images, ready to be sent.
        sent: What is sent.
    """

    job: ImageJob
    target: Target
    model: Model
    inputs: ModelInputs
    attached: Attached
    sent: Mapping[str, object]

    @property
    def version(self) -> str:
        """The version that has to be named; "" when the name alone will do."""
        if self.target.version or self.target.deployment:
            return self.target.version
        return self.model.version if self.model.official is False else ""

    def body(self, version: str) -> bytes:
        """The request's body."""
        named = {"version": version} if version else {}
        return msgspec.json.encode({**named, "input": self.sent})


class Account:
    """One account; used by several threads at once."""

    def __init__(
        self,
        api: Api,
        downloads: Downloads,
        *,
        catalog: Catalog,
        own: OwnInputs,
        wait: int,
        clock: Clock,
    ) -> None:
        """Ask for nothing yet.

        Args:
            api: What is talked to.
            downloads: What fetches files.
            catalog: What is known of models.
            own: What the config wants to be sent.
            wait: Seconds for which Replicate may hold back its answer to an order.
            clock: The time.
        """
        self._api = api
        self._downloads = downloads
        self._catalog = catalog
        self._own = own
        self._wait = wait
        self._clock = clock

    def close(self) -> None:
        """Hang up."""
        self._api.close()
        self._downloads.close()

    def model(self, target: Target, watch: Watch) -> Model:
        """Return what is known of a model, and ask if nothing is.

        Raises:
            InvalidRequest: there is no such model.
            ImagenError: it cannot be asked now.
        """
        return self._catalog.known(target) or self._read_anew(target, watch)

    def draw(self, job: ImageJob, target: Target, watch: Watch) -> Generated:
        """Order a prediction, stay with it, and return its images.

        A refusal of the inputs has certainly cost nothing. If the model takes other
        inputs by now than was known, it is ordered once more.
        """
        with nothing_sent():
            model = self.model(target, watch)
            attached = self._attached(model, job, watch)
            order = self._order(job, target, model, attached)
        try:
            return self._placed(order, watch)
        except NotValidError as refusal:
            with nothing_sent():
                order = self._renewed(order, refusal, watch)
        try:
            return self._placed(order, watch)
        except NotValidError as refusal:
            refusal.refused.used = UNTOUCHED
            raise refusal.refused from refusal

    def resume(
        self, job: ImageJob, target: Target, reference: str, watch: Watch
    ) -> Generated:
        """Stay with a prediction that was ordered before."""
        inputs = (self._catalog.known(target) or Model()).inputs({})
        return self._run(job, inputs, watch).resume(reference)

    def find(
        self, job: ImageJob, target: Target, *, since: datetime, watch: Watch
    ) -> tuple[str, ...]:
        """Look through the list of all predictions, back to that time."""
        model = self.model(target, watch)
        inputs = model.inputs(self._own.to(target, model))
        images = digests_of(job, inputs)
        if images is None:
            return ()
        names = Attached(pictures=tuple(image.name for image in job.images))
        order = self._order(job, target, model, names)
        wanted = Wanted(
            target=target,
            inputs={name: order.sent[name] for name in order.sent.keys() - images},
            images=images,
            defaults={field.name: field.default for field in model.fields},
        )
        found = find_like(
            wanted, since=since, api=self._api, clock=self._clock, watch=watch
        )
        return tuple(found)

    def findings(self, target: Target, watch: Watch) -> Iterator[Readiness]:
        """Look whose account it is, and for the model; both cost nothing."""
        owner = BackgroundCall(self._api.account).result(watch)
        note = f"{self._api.name}, {owner.username or 'unnamed'}"
        yield Readiness(what="account", ready=True, note=note)
        what = f"{'deployment' if target.deployment else 'model'} {target}"
        try:
            self._read_anew(target, watch)
        except InvalidRequest as missing:
            note = " ".join(filter(None, (missing.message, missing.hint)))
            yield Readiness(what=what, ready=False, note=note)
        else:
            yield Readiness(what=what, ready=True)

    def _read_anew(
        self, target: Target, watch: Watch, *, by_version: bool = False
    ) -> Model:
        """Ask what a model takes, and remember it.

        Args:
            target: Which model.
            watch: Ends the asking.
            by_version: Whether it is known not to be called by its name.
        """
        asked = BackgroundCall(partial(self._api.describe, target))
        try:
            description = asked.result(watch)
        except NotThereError as missing:
            raise self._unknown(target) from missing
        except NotValidError as refusal:
            raise refusal.refused from refusal
        if by_version:
            description = msgspec.structs.replace(description, official=False)
        return self._catalog.learn(target, description)

    def _order(
        self, job: ImageJob, target: Target, model: Model, attached: Attached
    ) -> Order:
        """Decide what is sent.

        Raises:
            InvalidRequest: the model does not take something of the job.
        """
        own = self._own.to(target, model)
        inputs = model.inputs(own)
        return Order(
            job=job,
            target=target,
            model=model,
            inputs=inputs,
            attached=attached,
            sent=inputs.inputs_for(job, own, attached),
        )

    def _renewed(self, order: Order, refusal: NotValidError, watch: Watch) -> Order:
        """Return the order as the model wants it now.

        Raises:
            Refused: that is what was refused.
        """
        model = self._read_anew(order.target, watch)
        renewed = self._order(order.job, order.target, model, order.attached)
        if (renewed.sent, renewed.version) == (order.sent, order.version):
            raise refusal.refused from refusal
        return renewed

    def _placed(self, order: Order, watch: Watch) -> Generated:
        """Hand an order in where it belongs, and stay with it.

        Only official models are called by their name. Whether one is, is not always
        known; one that is not is answered with a 404, as if there were none, and is
        then called by its version.

        Raises:
            NotValidError: the inputs are not what the model takes.
        """
        run = self._run(order.job, order.inputs, watch)
        target, version = order.target, order.version
        if not (version or target.deployment):
            path = f"models/{target.name}/predictions"
            try:
                return run.make(path, order.body(""), wait=self._wait)
            except NotThereError:
                with nothing_sent():
                    version = self._version(target, watch)
        path = f"deployments/{target.name}/" if target.deployment else ""
        try:
            return run.make(f"{path}predictions", order.body(version), wait=self._wait)
        except NotThereError as missing:
            unknown = self._unknown(target)
            unknown.used = UNTOUCHED
            raise unknown from missing

    def _version(self, target: Target, watch: Watch) -> str:
        """Return the version of a model that is not called by its name."""
        model = self._read_anew(target, watch, by_version=True)
        if not model.version:
            raise InvalidRequest(f"{target} has no version that could be run.")
        return model.version

    def _attached(self, model: Model, job: ImageJob, watch: Watch) -> Attached:
        """Get the job's images ready, handing in beforehand what is large."""
        pictures = [picture_of(image) for image in job.images]
        mask = mask_of(job.mask, model.inputs({})) if job.mask else None
        return Attached(
            pictures=tuple(self._address(picture, watch) for picture in pictures),
            mask=self._address(mask, watch) if mask else None,
        )

    def _address(self, picture: Picture, watch: Watch) -> str:
        if len(picture.content) <= LARGEST_INLINE:
            return picture.data_uri
        watch.report(None, f"handing in {picture.name}")
        upload = partial(
            self._api.upload,
            picture.name,
            picture.content,
            media_type=picture.media_type,
        )
        try:
            return BackgroundCall(upload).result(watch).urls.get
        except (NotThereError, NotValidError) as error:
            raise BackendError(f"{self._api.name} takes no files.") from error

    def _run(self, job: ImageJob, inputs: ModelInputs, watch: Watch) -> PredictionRun:
        return PredictionRun(
            self._api,
            self._downloads,
            job=job,
            steps=job.steps or inputs.usual_steps,
            watch=watch,
            clock=self._clock,
        )

    def _unknown(self, target: Target) -> InvalidRequest:
        kind = "deployment" if target.deployment else "model"
        near = None if target.deployment else meant(target.name, known_names())
        return InvalidRequest(
            f"{self._api.name} has no {kind} {target}, or not for this token.",
            hint=f"Did you mean {near}?" if near not in {None, target.name} else "",
        )

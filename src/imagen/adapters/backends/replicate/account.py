"""What one account at Replicate is asked for: models, images, old jobs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import msgspec

from imagen.adapters.backends.replicate.catalog import (
    ConfiguredInputs,
    Model,
    ModelCatalog,
    Target,
)
from imagen.adapters.backends.replicate.client import ReplicateClient
from imagen.adapters.backends.replicate.download import Downloader
from imagen.adapters.backends.replicate.errors import InvalidInputError, NotFoundError
from imagen.adapters.backends.replicate.input_images import (
    MAX_INLINE_BYTES,
    InputImage,
    compute_digests,
    prepare_image,
    prepare_mask,
)
from imagen.adapters.backends.replicate.inputs import AttachedImages, ModelInputs
from imagen.adapters.backends.replicate.models import list_known_models
from imagen.adapters.backends.replicate.run import PredictionRun
from imagen.adapters.backends.replicate.search import SearchCriteria, find_matching
from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.errors import mark_unsent
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import BackendError, InvalidRequest
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.suggestion import suggest_name
from imagen.ports.backend import JobContext, Readiness
from imagen.ports.clock import Clock


class PredictionRequest(msgspec.Struct, frozen=True, kw_only=True):
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
    attached: AttachedImages
    payload: Mapping[str, object]

    @property
    def version(self) -> str:
        """The version that has to be named; "" when the name alone will do."""
        if self.target.version or self.target.deployment:
            return self.target.version
        return self.model.version if self.model.official is False else ""

    def body(self, version: str) -> bytes:
        """The request's body."""
        named = {"version": version} if version else {}
        return msgspec.json.encode({**named, "input": self.payload})


class ReplicateAccount:
    """One account; used by several threads at once."""

    def __init__(
        self,
        api: ReplicateClient,
        downloads: Downloader,
        *,
        catalog: ModelCatalog,
        configured: ConfiguredInputs,
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
        self._own = configured
        self._wait = wait
        self._clock = clock

    def close(self) -> None:
        """Hang up."""
        self._api.close()
        self._downloads.close()

    def load_model(self, target: Target, context: JobContext) -> Model:
        """Return what is known of a model, and ask if nothing is.

        Raises:
            InvalidRequest: there is no such model.
            ImagenError: it cannot be asked now.
        """
        return self._catalog.get(target) or self._reload_model(target, context)

    def generate(self, job: ImageJob, target: Target, context: JobContext) -> Generated:
        """Order a prediction, stay with it, and return its images.

        A refusal of the inputs has certainly cost nothing. If the model takes other
        inputs by now than was known, it is ordered once more.
        """
        with mark_unsent():
            model = self.load_model(target, context)
            attached = self._attach_images(model, job, context)
            order = self._build_request(job, target, model, attached)
        try:
            return self._submit(order, context)
        except InvalidInputError as refusal:
            with mark_unsent():
                order = self._rebuild_request(order, refusal, context)
        try:
            return self._submit(order, context)
        except InvalidInputError as refusal:
            refusal.refused.used = UNTOUCHED
            raise refusal.refused from refusal

    def resume(
        self, job: ImageJob, target: Target, reference: str, context: JobContext
    ) -> Generated:
        """Stay with a prediction that was ordered before."""
        inputs = (self._catalog.get(target) or Model()).build_inputs({})
        return self._create_run(job, inputs, context).resume(reference)

    def find(
        self, job: ImageJob, target: Target, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Look through the list of all predictions, back to that time."""
        model = self.load_model(target, context)
        inputs = model.build_inputs(self._own.for_target(target, model))
        images = compute_digests(job, inputs)
        if images is None:
            return ()
        names = AttachedImages(images=tuple(image.name for image in job.images))
        order = self._build_request(job, target, model, names)
        wanted = SearchCriteria(
            target=target,
            inputs={
                name: order.payload[name] for name in order.payload.keys() - images
            },
            images=images,
            defaults={field.name: field.default for field in model.fields},
        )
        found = find_matching(
            wanted, since=since, api=self._api, clock=self._clock, context=context
        )
        return tuple(found)

    def check(self, target: Target, context: JobContext) -> Iterator[Readiness]:
        """Look whose account it is, and for the model; both cost nothing."""
        owner = BackgroundCall(self._api.get_account).result(context)
        note = f"{self._api.name}, {owner.username or 'unnamed'}"
        yield Readiness(name="account", ready=True, note=note)
        what = f"{'deployment' if target.deployment else 'model'} {target}"
        try:
            self._reload_model(target, context)
        except InvalidRequest as missing:
            note = " ".join(filter(None, (missing.message, missing.hint)))
            yield Readiness(name=what, ready=False, note=note)
        else:
            yield Readiness(name=what, ready=True)

    def _reload_model(
        self, target: Target, context: JobContext, *, by_version: bool = False
    ) -> Model:
        """Ask what a model takes, and remember it.

        Args:
            target: Which model.
            context: Ends the asking.
            by_version: Whether it is known not to be called by its name.
        """
        asked = BackgroundCall(partial(self._api.describe_model, target))
        try:
            description = asked.result(context)
        except NotFoundError as missing:
            raise self._unknown_target_error(target) from missing
        except InvalidInputError as refusal:
            raise refusal.refused from refusal
        if by_version:
            description = msgspec.structs.replace(description, official=False)
        return self._catalog.update(target, description)

    def _build_request(
        self, job: ImageJob, target: Target, model: Model, attached: AttachedImages
    ) -> PredictionRequest:
        """Decide what is sent.

        Raises:
            InvalidRequest: the model does not take something of the job.
        """
        own = self._own.for_target(target, model)
        inputs = model.build_inputs(own)
        return PredictionRequest(
            job=job,
            target=target,
            model=model,
            inputs=inputs,
            attached=attached,
            payload=inputs.build_payload(job, own, attached),
        )

    def _rebuild_request(
        self, order: PredictionRequest, refusal: InvalidInputError, context: JobContext
    ) -> PredictionRequest:
        """Return the order as the model wants it now.

        Raises:
            Refused: that is what was refused.
        """
        model = self._reload_model(order.target, context)
        renewed = self._build_request(order.job, order.target, model, order.attached)
        if (renewed.payload, renewed.version) == (order.payload, order.version):
            raise refusal.refused from refusal
        return renewed

    def _submit(self, order: PredictionRequest, context: JobContext) -> Generated:
        """Hand an order in where it belongs, and stay with it.

        Only official models are called by their name. Whether one is, is not always
        known; one that is not is answered with a 404, as if there were none, and is
        then called by its version.

        Raises:
            NotValidError: the inputs are not what the model takes.
        """
        run = self._create_run(order.job, order.inputs, context)
        target, version = order.target, order.version
        if not (version or target.deployment):
            path = f"models/{target.name}/predictions"
            try:
                return run.submit(path, order.body(""), wait=self._wait)
            except NotFoundError:
                with mark_unsent():
                    version = self._look_up_version(target, context)
        path = f"deployments/{target.name}/" if target.deployment else ""
        try:
            return run.submit(
                f"{path}predictions", order.body(version), wait=self._wait
            )
        except NotFoundError as missing:
            unknown = self._unknown_target_error(target)
            unknown.used = UNTOUCHED
            raise unknown from missing

    def _look_up_version(self, target: Target, context: JobContext) -> str:
        """Return the version of a model that is not called by its name."""
        model = self._reload_model(target, context, by_version=True)
        if not model.version:
            raise InvalidRequest(f"{target} has no version that could be run.")
        return model.version

    def _attach_images(
        self, model: Model, job: ImageJob, context: JobContext
    ) -> AttachedImages:
        """Get the job's images ready, handing in beforehand what is large."""
        pictures = [prepare_image(image) for image in job.images]
        mask = prepare_mask(job.mask, model.build_inputs({})) if job.mask else None
        return AttachedImages(
            images=tuple(self._to_url(picture, context) for picture in pictures),
            mask=self._to_url(mask, context) if mask else None,
        )

    def _to_url(self, picture: InputImage, context: JobContext) -> str:
        if len(picture.content) <= MAX_INLINE_BYTES:
            return picture.data_uri
        context.progress(None, f"handing in {picture.name}")
        upload = partial(
            self._api.upload_file,
            picture.name,
            picture.content,
            media_type=picture.media_type,
        )
        try:
            return BackgroundCall(upload).result(context).urls.get
        except (NotFoundError, InvalidInputError) as error:
            raise BackendError(f"{self._api.name} takes no files.") from error

    def _create_run(
        self, job: ImageJob, inputs: ModelInputs, context: JobContext
    ) -> PredictionRun:
        return PredictionRun(
            self._api,
            self._downloads,
            job=job,
            steps=job.steps or inputs.default_steps,
            context=context,
            clock=self._clock,
        )

    def _unknown_target_error(self, target: Target) -> InvalidRequest:
        kind = "deployment" if target.deployment else "model"
        near = (
            None
            if target.deployment
            else suggest_name(target.name, list_known_models())
        )
        return InvalidRequest(
            f"{self._api.name} has no {kind} {target}, or not for this token.",
            hint=f"Did you mean {near}?" if near not in {None, target.name} else "",
        )

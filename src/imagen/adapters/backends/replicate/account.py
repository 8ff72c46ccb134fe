"""One Replicate account: models, predictions, and the search for lost predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import msgspec

from imagen.adapters.backends.replicate.catalog import (
    ConfiguredInputs,
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
from imagen.adapters.backends.replicate.models import Model, list_known_models
from imagen.adapters.backends.replicate.run import PredictionRun
from imagen.adapters.backends.replicate.search import SearchCriteria, find_matching
from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.errors import mark_unsent
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import BackendError, InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.domain.suggestion import suggest_name
from imagen.ports.backend import Readiness
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext


class PredictionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for one prediction.

    Attributes:
        job: The job of imagen.
        target: The model or deployment.
        model: The description of the model.
        inputs: The inputs that the model has.
        attached: The job's images, as the model receives them.
        payload: The values of the inputs.
    """

    job: ImageJob
    target: Target
    model: Model
    inputs: ModelInputs
    attached: AttachedImages
    payload: Mapping[str, object]

    @property
    def version(self) -> str:
        """The version that the request must name; "" if the name is sufficient."""
        if self.target.version or self.target.deployment:
            return self.target.version
        return self.model.version if self.model.official is False else ""

    def body(self, version: str) -> bytes:
        """Return the body of the HTTP request."""
        named = {"version": version} if version else {}
        return msgspec.json.encode({**named, "input": self.payload})


@dataclass(kw_only=True)
class ReplicateAccount:
    """One account at Replicate; thread-safe. Nothing is sent at first."""

    api: ReplicateClient
    downloader: Downloader
    catalog: ModelCatalog
    configured: ConfiguredInputs
    wait: int
    """Seconds for which Replicate may delay its response to a new prediction."""

    clock: Clock

    def close(self) -> None:
        """Close the HTTP clients."""
        self.api.close()
        self.downloader.close()

    def load_model(self, target: Target, context: JobContext) -> Model:
        """Return the description of a model, from the catalog or else from the API."""
        return self.catalog.get(target) or self._reload_model(target, context)

    def generate(self, job: ImageJob, target: Target, context: JobContext) -> Generated:
        """Create a prediction, wait for it, and return its images."""
        with mark_unsent():
            model = self.load_model(target, context)
            attached = self._attach_images(model, job, context)
            request = self._build_request(job, target, model, attached)
        try:
            return self._submit(request, context)
        # A refusal of the inputs (422) has certainly cost nothing. If the model has
        # changed since it was described, the request is built again and sent once more.
        except InvalidInputError as refusal:
            with mark_unsent():
                request = self._rebuild_request(request, refusal, context)
        try:
            return self._submit(request, context)
        except InvalidInputError as refusal:
            refusal.refused.used = UNTOUCHED
            raise refusal.refused from refusal

    def resume(
        self, job: ImageJob, target: Target, reference: str, context: JobContext
    ) -> Generated:
        """Wait for a prediction that was created earlier, and return its images."""
        inputs = (self.catalog.get(target) or Model()).build_inputs({})
        return self._create_run(job, inputs, context).resume(reference)

    def find(
        self, job: ImageJob, target: Target, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the ids of the account's predictions since then that match the job."""
        model = self.load_model(target, context)
        inputs = model.build_inputs(self.configured.for_target(target, model))
        images = compute_digests(job, inputs)
        if images is None:
            return ()
        names = AttachedImages(images=tuple(image.name for image in job.images))
        payload = self._build_request(job, target, model, names).payload
        criteria = SearchCriteria(
            target=target,
            inputs={name: payload[name] for name in payload.keys() - images},
            images=images,
            defaults={field.name: field.default for field in model.fields},
        )
        return tuple(
            find_matching(
                criteria, since=since, api=self.api, clock=self.clock, context=context
            )
        )

    def check(self, target: Target, context: JobContext) -> Iterator[Readiness]:
        """Read the account and the model, and yield the results; both cost nothing."""
        owner = BackgroundCall(self.api.get_account).result(context)
        note = f"{self.api.name}, {owner.username or 'unnamed'}"
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
        """Read the description of a model from the API, and update the catalog.

        `by_version` records that predictions of the model need a version.
        """
        call = BackgroundCall(partial(self.api.describe_model, target))
        try:
            description = call.result(context)
        except NotFoundError as missing:
            raise self._unknown_target_error(target) from missing
        except InvalidInputError as refusal:
            raise refusal.refused from refusal
        if by_version:
            description = msgspec.structs.replace(description, official=False)
        return self.catalog.update(target, description)

    def _build_request(
        self, job: ImageJob, target: Target, model: Model, attached: AttachedImages
    ) -> PredictionRequest:
        configured = self.configured.for_target(target, model)
        inputs = model.build_inputs(configured)
        return PredictionRequest(
            job=job,
            target=target,
            model=model,
            inputs=inputs,
            attached=attached,
            payload=inputs.build_payload(job, configured, attached),
        )

    def _rebuild_request(
        self,
        request: PredictionRequest,
        refusal: InvalidInputError,
        context: JobContext,
    ) -> PredictionRequest:
        """Return the request for the model as it is described now, if it differs."""
        model = self._reload_model(request.target, context)
        rebuilt = self._build_request(
            request.job, request.target, model, request.attached
        )
        if (rebuilt.payload, rebuilt.version) == (request.payload, request.version):
            raise refusal.refused from refusal
        return rebuilt

    def _submit(self, request: PredictionRequest, context: JobContext) -> Generated:
        """Create the prediction at the endpoint of its target, and wait for it."""
        run = self._create_run(request.job, request.inputs, context)
        target, version = request.target, request.version
        # Only official models run without a version. Whether a model is official is not
        # always known; the endpoint answers 404 for a model that is not, as if it did
        # not exist, and then the version is needed.
        if not (version or target.deployment):
            path = f"models/{target.name}/predictions"
            try:
                return run.submit(path, request.body(""), wait=self.wait)
            except NotFoundError:
                with mark_unsent():
                    model = self._reload_model(target, context, by_version=True)
                    version = model.version
                    if not version:
                        raise InvalidRequest(
                            f"The model {target} has no version that can run."
                        ) from None
        path = f"deployments/{target.name}/" if target.deployment else ""
        body = request.body(version)
        try:
            return run.submit(f"{path}predictions", body, wait=self.wait)
        except NotFoundError as missing:
            unknown = self._unknown_target_error(target)
            unknown.used = UNTOUCHED
            raise unknown from missing

    def _attach_images(
        self, model: Model, job: ImageJob, context: JobContext
    ) -> AttachedImages:
        """Prepare the job's images for the request, and upload the large ones."""
        images = [prepare_image(image) for image in job.images]
        mask = prepare_mask(job.mask, model.build_inputs({})) if job.mask else None
        return AttachedImages(
            images=tuple(self._to_url(image, context) for image in images),
            mask=self._to_url(mask, context) if mask else None,
        )

    def _to_url(self, image: InputImage, context: JobContext) -> str:
        if len(image.content) <= MAX_INLINE_BYTES:
            return image.data_uri
        context.progress(None, f"uploading {image.name}")
        upload = partial(self.api.upload_file, image)
        try:
            return BackgroundCall(upload).result(context).urls.get
        except (NotFoundError, InvalidInputError) as error:
            raise BackendError(f"{self.api.name} does not accept uploads.") from error

    def _create_run(
        self, job: ImageJob, inputs: ModelInputs, context: JobContext
    ) -> PredictionRun:
        return PredictionRun(
            api=self.api,
            downloader=self.downloader,
            job=job,
            steps=job.steps or inputs.default_steps,
            context=context,
            clock=self.clock,
        )

    def _unknown_target_error(self, target: Target) -> InvalidRequest:
        kind = "deployment" if target.deployment else "model"
        known = () if target.deployment else list_known_models()
        near = suggest_name(target.name, known)
        return InvalidRequest(
            f"{self.api.name} has no {kind} {target}, or not for this token.",
            hint=f"Did you mean {near}?" if near not in {None, target.name} else "",
        )

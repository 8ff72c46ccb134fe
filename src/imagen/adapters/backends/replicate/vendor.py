"""Replicate as a vendor file: its requests, and the meaning of its responses."""

from collections.abc import Generator, Mapping
from datetime import datetime
from math import ceil
from typing import cast

import msgspec

from imagen.adapters.backends.replicate.catalog import (
    DEFAULT_URL,
    ModelCatalog,
    ModelDescription,
    ModelPage,
    ModelVersion,
    Target,
)
from imagen.adapters.backends.replicate.errors import NotFound, to_error
from imagen.adapters.backends.replicate.models import Model, known_models
from imagen.adapters.backends.replicate.prediction import (
    Prediction,
    find_urls,
    read_status,
)
from imagen.adapters.backends.replicate.search import find_matching
from imagen.adapters.remote.json_values import as_mapping
from imagen.adapters.remote.models.images import (
    MAX_INLINE_BYTES,
    build_data_uri,
    check_content,
    prepare_mask,
)
from imagen.adapters.remote.models.inputs import AttachedImages, ModelInputs
from imagen.adapters.remote.models.matching import describe_sent
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobStatus,
    quote_segment,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, ImagenError, InvalidRequest, Refused
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage
from imagen.domain.suggestion import suggest_name
from imagen.ports.clock import Clock

MIN_CANCEL_AFTER, MAX_CANCEL_AFTER = 5, 24 * 60 * 60
"""The limits of Replicate's header `Cancel-After`, in seconds."""

WRITE_TIMEOUT = 30.0
"""Seconds to wait for the response to a submit request or an upload."""


class Account(msgspec.Struct, frozen=True):
    """The owner of the token."""

    username: str = ""


class _Release(msgspec.Struct, frozen=True):
    model: str = ""
    version: str = ""


class _Deployment(msgspec.Struct, frozen=True):
    current_release: _Release | None = None


class _Urls(msgspec.Struct, frozen=True):
    get: str


class _UploadedFile(msgspec.Struct, frozen=True):
    urls: _Urls


class PredictionJob(ImageJob, frozen=True, kw_only=True):
    """A job in the inputs of its model.

    Attributes:
        target: The model or deployment.
        version: The version that the request must name; "" if the name is sufficient.
        attached: The job's images, as the model receives them.
        payload: The values of the inputs.
    """

    target: Target
    version: str
    attached: AttachedImages
    payload: Mapping[str, object]


class Replicate:
    """One account at Replicate with a default model."""

    # No recorded 5xx of Replicate's says whether the prediction was created, so every
    # one of them leaves that open.
    refuses_with: frozenset[int] = frozenset()
    fails_with: frozenset[int] = frozenset()
    hosts = ("api.replicate.com", "replicate.delivery")

    def __init__(
        self,
        *,
        url: str,
        target: Target,
        inputs: Mapping[str, object],
        wait: int,
        catalog: ModelCatalog,
    ) -> None:
        """Create the vendor file.

        Args:
            url: The base URL of the API, without a slash at the end.
            target: The default model or deployment.
            inputs: The inputs that the config sets for every job.
            wait: Seconds for which Replicate may delay its response to a new job.
            catalog: The known models.
        """
        self._url = url
        self._target = target
        self._inputs = inputs
        self._wait = wait
        self._catalog = catalog
        self._clock: Clock = catalog.clock
        self._cached: dict[Target, Capabilities] = {}

    @property
    def name(self) -> str:
        """The name for messages: with the address, unless it is the usual one."""
        from imagen.adapters.remote.errors import display_url  # noqa: PLC0415 - network

        default = self._url == DEFAULT_URL
        return "Replicate" if default else f"Replicate at {display_url(self._url)}"

    # Models

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, without network.

        They come from the table of known models or from an earlier description; for an
        unknown model they are minimal.
        """
        # Computed once: the port promises the same answer every time, and a description
        # that is read later would change it.
        target = self._target
        if target not in self._cached:
            known = self._catalog.get(target) or Model()
            self._cached.setdefault(target, self._build_capabilities(target, known))
        return self._cached[target]

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities of a model; read its description if necessary."""
        target = self._find_target(model)
        known = yield from self._load_model(target)
        return self._build_capabilities(target, known)

    def _build_capabilities(self, target: Target, model: Model) -> Capabilities:
        capabilities = self._build_inputs(target, model).capabilities(
            str(target),
            models=() if target.deployment else None,
            provider="replicate",
        )
        output_type = model.guess_output_type(target.name)
        return msgspec.structs.replace(capabilities, output_type=output_type)

    def _build_inputs(self, target: Target, model: Model) -> ModelInputs:
        return model.build_inputs(self._configured_inputs(target, model))

    def _configured_inputs(self, target: Target, model: Model) -> Mapping[str, object]:
        """Return the inputs in the config; for another model, those that it knows."""
        if target == self._target:
            return self._inputs
        names = {field.name for field in model.fields}
        return {name: value for name, value in self._inputs.items() if name in names}

    def _find_target(self, model: str) -> Target:
        is_default = model in {"", str(self._target)}
        return self._target if is_default else Target.parse(model)

    def _load_model(self, target: Target) -> Exchange[Model]:
        """Return the description of a model, from the catalog or else from the API."""
        known = self._catalog.get(target)
        return known if known is not None else (yield from self._reload_model(target))

    def _reload_model(
        self, target: Target, *, by_version: bool = False
    ) -> Exchange[Model]:
        """Read the description of a model from the API, and update the catalog.

        `by_version` records that predictions of the model need a version.
        """
        try:
            description = yield from _describe_model(target)
        except NotFound as missing:
            raise self._unknown_target_error(target) from missing
        official = description.official
        if official is None and (known := self._catalog.get(target)):
            official = known.official
        official = False if by_version else official
        description = msgspec.structs.replace(description, official=official)
        return self._catalog.update(target, description)

    def _unknown_target_error(self, target: Target) -> InvalidRequest:
        kind = "deployment" if target.deployment else "model"
        known = () if target.deployment else known_models()
        near = suggest_name(target.name, known)
        return InvalidRequest(
            f"{self.name} has no {kind} {target}, or not for this token.",
            hint=f"Did you mean {near}?" if near not in {None, target.name} else "",
        )

    # Submission

    def prepare(self, job: ImageJob) -> Exchange[PredictionJob]:
        """Read the description of the model if necessary, and upload large images."""
        target = self._find_target(job.model)
        model = yield from self._load_model(target)
        for image in job.images:
            check_content(image)
        mask = prepare_mask(job.mask, model.build_inputs({})) if job.mask else None
        urls: list[str] = []
        for image in job.images:
            # A comprehension cannot yield requests.
            urls.append((yield from self._attach(image)))  # noqa: PERF401
        attached = AttachedImages(
            images=tuple(urls), mask=(yield from self._attach(mask)) if mask else None
        )
        return self._prepare_job(job, target, model, attached)

    def correct(
        self, job: ImageJob, refusal: ImagenError
    ) -> Exchange[PredictionJob | None]:
        """Return the job for the model as it is described now, if that differs."""
        job = cast("PredictionJob", job)
        target, missing = job.target, isinstance(refusal, NotFound)
        if missing and (job.version or target.deployment):
            raise self._unknown_target_error(target) from refusal
        if not missing and not isinstance(refusal, Refused):
            return None
        # Only official models run without a version. Whether a model is official is not
        # always known; the endpoint answers 404 for a model that is not, as if it did
        # not exist, and then the version is needed.
        model = yield from self._reload_model(target, by_version=missing)
        if missing and not model.version:
            raise InvalidRequest(f"The model {target} has no version that can run.")
        corrected = self._prepare_job(job, target, model, job.attached)
        return None if corrected == job else corrected

    def _prepare_job(
        self, job: ImageJob, target: Target, model: Model, attached: AttachedImages
    ) -> PredictionJob:
        version = model.version if model.official is False else ""
        configured = self._configured_inputs(target, model)
        inputs = model.build_inputs(configured)
        return PredictionJob(
            **{name: getattr(job, name) for name in ImageJob.__struct_fields__},
            target=target,
            version="" if target.deployment else target.version or version,
            attached=attached,
            payload=inputs.build_payload(job, configured, attached),
        )

    def _attach(self, image: ReferenceImage) -> Exchange[str]:
        """Return an image as a data URI; a large one as the URL of an upload."""
        if len(image.content) <= MAX_INLINE_BYTES:
            return build_data_uri(image)
        try:
            response = yield HttpRequest(
                method="POST",
                path="files",
                files=[("content", (image.name, image.content, image.media_type))],
                timeout=WRITE_TIMEOUT,
                note=f"uploading {image.name}",
            )
        except NotFound as error:
            raise BackendError(f"{self.name} does not accept uploads.") from error
        return response.json(_UploadedFile).urls.get

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that creates the prediction."""
        job = cast("PredictionJob", job)
        folder = f"models/{job.target.name}/"
        if job.target.deployment:
            folder = f"deployments/{job.target.name}/"
        elif job.version:
            folder = ""
        seconds = ceil(job.timeout * job.count)
        cancel_after = min(max(seconds, MIN_CANCEL_AFTER), MAX_CANCEL_AFTER)
        return HttpRequest(
            method="POST",
            path=f"{folder}predictions",
            headers={
                "Cancel-After": f"{cancel_after}s",
                **({"Prefer": f"wait={self._wait}"} if self._wait else {}),
            },
            json={
                **({"version": job.version} if job.version else {}),
                "input": job.payload,
            },
            timeout=WRITE_TIMEOUT + self._wait,
        )

    def submitted(self, job: ImageJob, response: HttpResponse) -> JobAccepted:
        """Return the id of the prediction, and its status."""
        prediction = response.json(Prediction)
        return JobAccepted(
            reference=prediction.id, status=self._read_status(job, prediction)
        )

    # Status

    def poll(self, reference: str) -> HttpRequest:
        """Return the request for a prediction."""
        return HttpRequest(path=f"predictions/{quote_segment(reference)}")

    def status(self, job: ImageJob, response: HttpResponse) -> JobStatus:
        """Return the status of a prediction."""
        return self._read_status(job, response.json(Prediction))

    def _read_status(self, job: ImageJob, prediction: Prediction) -> JobStatus:
        target = self._find_target(job.model)
        inputs = self._build_inputs(target, self._catalog.get(target) or Model())
        return read_status(prediction, job, steps=job.steps or inputs.default_steps)

    def cancel(self, reference: str) -> HttpRequest:
        """Return the request that cancels a prediction."""
        path = f"predictions/{quote_segment(reference)}/cancel"
        return HttpRequest(method="POST", path=path)

    # Free requests

    def find(self, job: ImageJob, since: datetime) -> Exchange[tuple[str, ...]]:
        """Return the ids of the account's predictions since then that match the job."""
        target = self._find_target(job.model)
        model = yield from self._load_model(target)
        configured = self._configured_inputs(target, model)
        sent = describe_sent(job, model.build_inputs(configured), configured)
        if sent is None:
            return ()
        return (
            yield from find_matching(
                sent, target=target, since=since, url=self._url, clock=self._clock
            )
        )

    def check(self) -> Mapping[str, Exchange[str]]:
        """Check the token, and then the model."""
        kind = "deployment" if self._target.deployment else "model"
        return {
            "account": self._check_account(),
            f"{kind} {self._target}": self._check_model(),
        }

    def _check_account(self) -> Exchange[str]:
        response = yield HttpRequest(path="account")
        return f"{self.name}, {response.json(Account).username or 'unnamed'}"

    def _check_model(self) -> Exchange[str]:
        yield from self._reload_model(self._target)
        return ""

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or Replicate's message."""
        return to_error(response, self.name)


def _describe_model(
    target: Target,
) -> Generator[HttpRequest, HttpResponse, ModelDescription]:
    """Return Replicate's description of a model, or of the model of a deployment."""
    if target.deployment:
        response = yield HttpRequest(path=f"deployments/{target.name}")
        release = response.json(_Deployment).current_release or _Release()
        if not release.model:
            return ModelDescription()
        target = Target(name=release.model, version=release.version)
    if target.version:
        path = f"models/{target.name}/versions/{target.version}"
        response = yield HttpRequest(path=path)
        version, official, example = response.json(ModelVersion), None, None
    else:
        response = yield HttpRequest(path=f"models/{target.name}")
        model = response.json(ModelPage)
        version, official = model.version, model.is_official
        example = as_mapping(model.default_example).get("output")
    return ModelDescription(
        openapi_schema=version.openapi_schema,
        version=version.id,
        official=official if isinstance(official, bool) else None,
        examples=find_urls(example),
    )

"""The Replicate backend: any image model that Replicate runs, by its name.

Every config that names an instance loads this module, so the modules that use the
network are imported when the first request is sent.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
from msgspec import Meta

from imagen.adapters.backends.replicate.catalog import (
    DEFAULT_URL,
    ConfiguredInputs,
    ModelCatalog,
    Target,
)
from imagen.adapters.backends.replicate.models import Model
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Cancelled, ImagenError, Unauthorized
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext

if TYPE_CHECKING:
    from imagen.adapters.backends.replicate.account import ReplicateAccount

DEFAULT_MODEL = "black-forest-labs/flux-schnell"
MAX_WAIT = 60

_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
ModelName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_NAME}(:[0-9a-f]{{64}})?$",
        extra={"shape": "a model such as black-forest-labs/flux-dev"},
    ),
]
DeploymentName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_NAME}$",
        extra={"shape": "a deployment such as ada/my-deployment"},
    ),
]


class ReplicateOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of a Replicate backend in the config."""

    model: Annotated[
        ModelName | None,
        Meta(
            description="The model: owner/name, or owner/name:version;"
            f" {DEFAULT_MODEL} unless a deployment is set.",
            examples=["black-forest-labs/flux-dev"],
        ),
    ] = None
    deployment: Annotated[
        DeploymentName | None,
        Meta(
            description="Your own deployment, used instead of a model: owner/name.",
            examples=["ada/my-deployment"],
        ),
    ] = None
    input: Annotated[
        Mapping[str, object],
        Meta(
            description="Inputs sent with every job, by the model's own names; the"
            " parameters of the job take precedence.",
            examples=[{"guidance": 3.5}],
        ),
    ] = {}
    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_WAIT,
            description="Seconds for which Replicate may delay its response to return"
            " the image in it; at 0 the id of the job is known at once.",
        ),
    ] = 0
    api_token_env: Annotated[
        str,
        Meta(
            min_length=1,
            description="The environment variable that holds the API token.",
            examples=["REPLICATE_API_TOKEN"],
        ),
    ] = "REPLICATE_API_TOKEN"  # noqa: S105 - a variable's name
    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$",
            description="The URL of the API.",
            examples=[DEFAULT_URL],
            extra={"shape": f"a URL such as {DEFAULT_URL}"},
        ),
    ] = DEFAULT_URL


class ReplicateBackend:
    """An account at Replicate with a default model."""

    def __init__(self, options: ReplicateOptions, context: BackendContext) -> None:
        self._options = options
        self._clock = context.clock
        self._token = context.secrets.get("api_token_env")
        if options.deployment:
            self._target = Target(name=options.deployment, deployment=True)
        else:
            self._target = Target.parse(options.model or DEFAULT_MODEL)
        self._configured = ConfiguredInputs(target=self._target, values=options.input)
        self._catalog = ModelCatalog(
            options.base_url.rstrip("/"),
            folder=None if context.cache is None else Path(context.cache),
            clock=context.clock,
        )
        self._lock = Lock()
        self._cached: Capabilities | None = None
        self._account: ReplicateAccount | None = None

    def __repr__(self) -> str:
        return f"ReplicateBackend({str(self._target)!r})"

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, without network.

        They come from the table of known models or from an earlier description; for an
        unknown model they are minimal.
        """
        # Computed once: the port promises the same answer every time, and a description
        # that is read later would change it.
        with self._lock:
            if self._cached is None:
                known = self._catalog.get(self._target) or Model()
                self._cached = self._build_capabilities(self._target, known)
            return self._cached

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        """Return the capabilities of a model; read its description if necessary."""
        target = self._resolve_target(model)
        known = self._catalog.get(target)
        if known is None:
            context.sleep(0)
            known = self._open_account().load_model(target, context)
        return self._build_capabilities(target, known)

    def prepare(self) -> None:
        """Import the network modules, and check that there is a token."""
        self._open_account()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Create a prediction, wait for it, and download its images."""
        from imagen.adapters.remote.errors import mark_unsent  # noqa: PLC0415 - network

        with mark_unsent():
            context.sleep(0)
            target = self._resolve_target(job.model)
            account = self._open_account()
        return account.generate(job, target, context)

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Wait for a prediction that was created earlier, and download its images."""
        context.sleep(0)
        target = self._resolve_target(job.model)
        return self._open_account().resume(job, target, reference, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the ids of the account's predictions since then that match the job."""
        context.sleep(0)
        target = self._resolve_target(job.model)
        return self._open_account().find(job, target, since=since, context=context)

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Check the token and the model; both cost nothing."""
        context.sleep(0)
        results: list[Readiness] = []
        try:
            results.extend(self._open_account().check(self._target, context))
        except Cancelled:
            raise
        except ImagenError as error:
            note = " ".join(filter(None, (error.message, error.hint)))
            what = f"model {self._target}" if results else "account"
            results.append(Readiness(name=what, ready=False, note=note))
        return tuple(results)

    def close(self) -> None:
        """Close the HTTP clients."""
        with self._lock:
            account, self._account = self._account, None
        if account is not None:
            account.close()

    def _open_account(self) -> "ReplicateAccount":
        if self._token is None:
            raise Unauthorized(
                f"${self._options.api_token_env} is not set.",
                hint="Set it to a token from replicate.com/account/api-tokens.",
            )
        from imagen.adapters.backends.replicate.account import (  # noqa: PLC0415
            ReplicateAccount,
        )
        from imagen.adapters.backends.replicate.client import ReplicateClient  # noqa: PLC0415
        from imagen.adapters.backends.replicate.download import Downloader  # noqa: PLC0415

        url = self._options.base_url
        with self._lock:
            if self._account is None:
                self._account = ReplicateAccount(
                    api=ReplicateClient(url, token=self._token, clock=self._clock),
                    downloader=Downloader(url, token=self._token),
                    catalog=self._catalog,
                    configured=self._configured,
                    wait=self._options.wait,
                    clock=self._clock,
                )
            return self._account

    def _resolve_target(self, model: str) -> Target:
        is_default = model in {"", str(self._target)}
        return self._target if is_default else Target.parse(model)

    def _build_capabilities(self, target: Target, model: Model) -> Capabilities:
        configured = self._configured.for_target(target, model)
        return model.build_inputs(configured).capabilities(
            str(target), models=() if target.deployment else None
        )


def create(options: ReplicateOptions, context: BackendContext) -> ImageBackend:
    """Return the backend; nothing is sent yet."""
    return ReplicateBackend(options, context)


adapter = Adapter(
    summary="Every image model on Replicate: FLUX, Imagen, Ideogram and others.",
    options=ReplicateOptions,
    create=create,
    multiprocess=True,
)

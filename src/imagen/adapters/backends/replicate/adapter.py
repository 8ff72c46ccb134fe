"""Draws with the models that Replicate runs: any of them, by its name.

What talks over the network is imported when there is something to say: every config
that names an instance loads this module.
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
    Model,
    ModelCatalog,
    Target,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    Unauthorized,
)
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.ports.backend import (
    Adapter,
    BackendContext,
    ImageBackend,
    JobContext,
    Readiness,
)

if TYPE_CHECKING:
    from imagen.adapters.backends.replicate.account import ReplicateAccount

DEFAULT_MODEL = "black-forest-labs/flux-schnell"
MAX_WAIT = 60

_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
ModelName: TypeAlias = Annotated[str, Meta(pattern=rf"^{_NAME}(:[0-9a-f]{{64}})?$")]
DeploymentName: TypeAlias = Annotated[str, Meta(pattern=rf"^{_NAME}$")]


class ReplicateOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Replicate's own block of the config."""

    model: Annotated[
        ModelName | None,
        Meta(
            description="What draws: owner/name, or owner/name:version;"
            f" {DEFAULT_MODEL} unless there is a deployment.",
            examples=["black-forest-labs/flux-dev"],
        ),
    ] = None
    deployment: Annotated[
        DeploymentName | None,
        Meta(
            description="A deployment of your own that draws instead: owner/name.",
            examples=["ada/my-deployment"],
        ),
    ] = None
    input: Annotated[
        Mapping[str, object],
        Meta(
            description="What is sent with every job, by the model's own names; the"
            " job goes before it.",
            examples=[{"guidance": 3.5}],
        ),
    ] = {}
    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_WAIT,
            description="Seconds for which Replicate may hold back its answer to have"
            " the image in it; at 0 the job is known by its name at once.",
        ),
    ] = 0
    api_token_env: Annotated[
        str,
        Meta(
            min_length=1,
            description="The environment variable with the token.",
            examples=["REPLICATE_API_TOKEN"],
        ),
    ] = "REPLICATE_API_TOKEN"  # noqa: S105 - a variable's name
    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$",
            description="Where the API is.",
            examples=[DEFAULT_URL],
        ),
    ] = DEFAULT_URL


class ReplicateBackend:
    """One account at Replicate, and the model that draws unless told otherwise."""

    def __init__(self, options: ReplicateOptions, context: BackendContext) -> None:
        self._options = options
        self._clock = context.clock
        self._token = context.secrets.get("api_token_env")
        self._target = _configured_target(options)
        self._own = ConfiguredInputs(target=self._target, values=options.input)
        self._catalog = ModelCatalog(
            options.base_url.rstrip("/"),
            folder=None if context.cache is None else Path(context.cache),
            clock=context.clock,
        )
        self._lock = Lock()
        self._said: Capabilities | None = None
        self._opened: ReplicateAccount | None = None

    def __repr__(self) -> str:
        return f"ReplicateBackend({str(self._target)!r})"

    def capabilities(self) -> Capabilities:
        """Say what is known of its model: by the table, an earlier look, or little."""
        with self._lock:
            if self._said is None:
                known = self._catalog.get(self._target) or Model()
                self._said = self._build_capabilities(self._target, known)
            return self._said

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        """Look up what the model takes, unless that is known."""
        target = self._resolve_target(model)
        known = self._catalog.get(target)
        if known is None:
            context.sleep(0)
            known = self._open_account().load_model(target, context)
        return self._build_capabilities(target, known)

    def prepare(self) -> None:
        """Load what talks over the network, and read the token."""
        self._open_account()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Order a prediction, stay with it, fetch what it made."""
        from imagen.adapters.remote.errors import mark_unsent  # noqa: PLC0415 - network

        with mark_unsent():
            context.sleep(0)
            target = self._resolve_target(job.model)
            account = self._open_account()
        return account.generate(job, target, context)

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Stay with a prediction that was ordered before."""
        context.sleep(0)
        target = self._resolve_target(job.model)
        return self._open_account().resume(job, target, reference, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Look through the list of all predictions, back to that time."""
        context.sleep(0)
        target = self._resolve_target(job.model)
        return self._open_account().find(job, target, since=since, context=context)

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Look whose token it is, and for the model; both cost nothing."""
        context.sleep(0)
        findings: list[Readiness] = []
        try:
            findings.extend(self._open_account().check(self._target, context))
        except Cancelled:
            raise
        except ImagenError as error:
            note = " ".join(filter(None, (error.message, error.hint)))
            what = f"model {self._target}" if findings else "account"
            findings.append(Readiness(name=what, ready=False, note=note))
        return tuple(findings)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            account, self._opened = self._opened, None
        if account is not None:
            account.close()

    def _open_account(self) -> "ReplicateAccount":
        """Return the account; nothing is sent yet.

        Raises:
            Unauthorized: there is no token.
        """
        if self._token is None:
            raise Unauthorized(
                f"${self._options.api_token_env} is not set.",
                hint="It holds the token: replicate.com/account/api-tokens.",
            )
        from imagen.adapters.backends.replicate.account import (  # noqa: PLC0415
            ReplicateAccount,
        )
        from imagen.adapters.backends.replicate.client import ReplicateClient  # noqa: PLC0415
        from imagen.adapters.backends.replicate.download import (  # noqa: PLC0415
            Downloader,
        )

        url = self._options.base_url
        with self._lock:
            if self._opened is None:
                self._opened = ReplicateAccount(
                    ReplicateClient(url, token=self._token, clock=self._clock),
                    Downloader(url, token=self._token),
                    catalog=self._catalog,
                    configured=self._own,
                    wait=self._options.wait,
                    clock=self._clock,
                )
            return self._opened

    def _resolve_target(self, model: str) -> Target:
        """Return what a job is asked of.

        Raises:
            InvalidRequest: it cannot be the name of a model.
        """
        if model in {"", str(self._target)}:
            return self._target
        return Target.parse(model)

    def _build_capabilities(self, target: Target, model: Model) -> Capabilities:
        return model.build_inputs(self._own.for_target(target, model)).capabilities(
            str(target), models=() if target.deployment else None
        )


def _configured_target(options: ReplicateOptions) -> Target:
    if options.deployment:
        return Target(name=options.deployment, deployment=True)
    return Target.parse(options.model or DEFAULT_MODEL)


def create(options: ReplicateOptions, context: BackendContext) -> ImageBackend:
    """Build the backend; nothing is sent yet."""
    return ReplicateBackend(options, context)


adapter = Adapter(
    summary="The models that Replicate runs: FLUX, Imagen, Ideogram and any other.",
    options=ReplicateOptions,
    create=create,
    multiprocess=True,
)

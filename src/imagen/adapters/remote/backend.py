"""Backends for vendor files.

Every config that names an instance loads this module, so the modules that use the
network are imported when the first request is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast
from uuid import uuid4  # noqa: TID251 - some vendors accept only a UUID as job id

import msgspec

from imagen.adapters.remote.vendor import (
    CheckableVendor,
    CostVendor,
    Exchange,
    HttpRequest,
    LookupVendor,
    PerModelVendor,
    Vendor,
    bearer,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, Cancelled, ImagenError, InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.result import Generated
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext

if TYPE_CHECKING:
    from imagen.adapters.remote.job import RemoteJob
    from imagen.adapters.remote.service import VendorService

VendorFactory: TypeAlias = Callable[..., Vendor]


class _RemoteBackend:
    """One instance of a vendor.

    `remote_backend` adds the optional methods of the port that the vendor file allows,
    because the core finds an optional ability by the presence of its method.
    """

    def __init__(
        self,
        vendor: Vendor,
        open_service: "Callable[[], VendorService]",
    ) -> None:
        self._vendor = vendor
        self._open_service = open_service
        self._lock = Lock()
        self._opened: VendorService | None = None
        self._per_model: dict[str, Capabilities] = {}

    def __repr__(self) -> str:
        return f"<backend for {self._vendor.name}>"

    def capabilities(self) -> Capabilities:
        """Return the capabilities that the vendor file states."""
        return self._vendor.capabilities()

    def prepare(self) -> None:
        """Import the network modules, and check that there are credentials."""
        if hasattr(self._vendor, "events"):
            import_module("imagen.adapters.remote.websocket")
        self._open().client.require_credentials()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Submit the job, wait for it, and download its images."""
        from imagen.adapters.remote.errors import mark_unsent  # noqa: PLC0415 - network

        with mark_unsent():
            started = self._start(job, context)
        try:
            return self._open().generate(started, job, str(uuid4()), context)
        finally:
            if started.corrected:
                # The vendor has described a model anew.
                self._per_model.clear()

    def close(self) -> None:
        """Close the HTTP clients."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Wait for a job that was submitted earlier, and download its images."""
        context.sleep(0)
        return self._start(job, context).resume(reference)

    def _find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the ids of all jobs since then that are identical to this one."""
        context.sleep(0)
        vendor = cast("LookupVendor", self._vendor)
        return self._open().run_exchange(vendor.find(job, since), context)

    def _look_up_cost(self, reference: str, context: JobContext) -> Cost:
        """Return the cost of a job that has ended; unknown if the vendor has none."""
        context.sleep(0)
        exchange = cast("CostVendor", self._vendor).look_up_cost(reference)
        return self._open().run_exchange(exchange, context)

    def _check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Send the vendor's free requests."""
        context.sleep(0)
        checks = cast("CheckableVendor", self._vendor).check()
        if isinstance(checks, HttpRequest):
            checks = {self._vendor.name: _send_one(checks)}
        results: list[Readiness] = []
        for name, exchange in checks.items():
            try:
                found = self._open().run_exchange(exchange, context)
            except Cancelled:
                raise
            except ImagenError as error:
                note = error.explanation
                results.append(Readiness(name=name, ready=False, note=note))
                break
            if isinstance(found, str):
                results.append(Readiness(name=name, ready=True, note=found))
            else:
                results.extend(found)
        return tuple(results)

    def _capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        """Return the capabilities with a model; ask the vendor the first time."""
        model = model or self._vendor.capabilities().model
        if model not in self._per_model:
            context.sleep(0)
            exchange = cast("PerModelVendor", self._vendor).look_up_model(model)
            try:
                found = self._open().run_exchange(exchange, context)
            except BackendError as error:
                raise InvalidRequest(
                    f"{self._vendor.name} has no model {model!r}.", hint=error.message
                ) from error
            return self._per_model.setdefault(model, found)
        return self._per_model[model]

    def _start(self, job: ImageJob, context: JobContext) -> "RemoteJob":
        return self._open().start(job, key=str(uuid4()), context=context)

    def _open(self) -> "VendorService":
        """Return the HTTP clients; nothing is sent yet."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open_service()
            return self._opened


def _send_one(request: HttpRequest) -> Exchange[str]:
    yield request
    return ""


_OPTIONAL = {
    "poll": "resume",
    "find": "find",
    "look_up_cost": "look_up_cost",
    "check": "check",
    "look_up_model": "capabilities_of",
}
"""The optional methods of a vendor file, and the port's method that each allows."""


def remote_backend(
    vendor: Vendor,
    context: BackendContext,
    *,
    base_url: str,
    credentials: Mapping[str, str] | None,
    hint: str = "",
    key_env: str | Sequence[str] = "",
) -> ImageBackend:
    """Return a backend for a vendor file; nothing is sent yet.

    Args:
        vendor: The vendor file.
        context: The environment of the instance.
        base_url: The address of the API. The credentials are sent there, and to the
            vendor's `hosts`.
        credentials: Headers with the credentials; {} if the vendor needs none, None if
            they are missing.
        hint: What to do if they are missing.
        key_env: The environment variable that holds them; or those that are missing.
    """
    clock = context.clock

    def open_service() -> "VendorService":
        from imagen.adapters.remote.service import VendorService  # noqa: PLC0415
        from imagen.adapters.remote.vendor_client import VendorClient  # noqa: PLC0415

        client = VendorClient(
            vendor,
            base_url=base_url,
            credentials=credentials,
            hint=hint,
            key_env=key_env,
            now=clock.now,
        )
        return VendorService(vendor, client, clock=clock)

    methods = {
        name: getattr(_RemoteBackend, f"_{name}")
        for ability, name in _OPTIONAL.items()
        if hasattr(vendor, ability)
    }
    kind = cast(
        "type[_RemoteBackend]", type("RemoteBackend", (_RemoteBackend,), methods)
    )
    return kind(vendor, open_service)


def url_meta(default: str, *, description: str = "The URL of the API.") -> msgspec.Meta:
    """Return what the option `base_url` of a service accepts: a URL without a login."""
    return msgspec.Meta(
        pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$",
        description=description,
        examples=[default],
        extra={"shape": f"a URL such as {default}"},
    )


def key_meta(*variables: str, name: str = "key") -> msgspec.Meta:
    """Return what the option `api_key_env` of a service accepts.

    Args:
        variables: The usual environment variables, at which `imagen setup` looks.
        name: The service's word for a key.
    """
    return msgspec.Meta(
        min_length=1,
        description=f"The environment variable that holds the API {name}.",
        examples=list(variables),
    )


@cache
def _define_options(
    base: type[msgspec.Struct] | None, base_url: str, key_envs: tuple[str, ...]
) -> type[msgspec.Struct]:
    """Return the Struct of the options of an adapter, always the same one."""
    url = Annotated[str, url_meta(base_url)]
    env = Annotated[str, key_meta(*key_envs)]

    # The workers of `imagen serve` receive options, and cannot import this class.
    def reduce(chosen: msgspec.Struct) -> tuple[object, ...]:
        values = msgspec.structs.asdict(chosen)
        return _restore_options, (base, base_url, key_envs, values)

    return msgspec.defstruct(
        "Options",
        [("base_url", url, base_url), ("api_key_env", env, key_envs[0])],
        bases=None if base is None else (base,),
        namespace={"__reduce__": reduce},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _restore_options(
    base: type[msgspec.Struct] | None,
    base_url: str,
    key_envs: tuple[str, ...],
    values: Mapping[str, object],
) -> msgspec.Struct:
    return _define_options(base, base_url, key_envs)(**values)


def http_adapter(
    vendor: VendorFactory,
    *,
    summary: str,
    base_url: str,
    key_env: str,
    credentials: Callable[[str], Mapping[str, str]] = bearer,
    needs_key: bool = True,
    other_key_envs: Sequence[str] = (),
    options: type[msgspec.Struct] | None = None,
) -> Adapter[msgspec.Struct]:
    """Return the adapter of a vendor, with the options `base_url` and `api_key_env`.

    Args:
        vendor: Creates the vendor file; called with the options if there are `options`.
        summary: The purpose, in half a line.
        base_url: The default address of the API.
        key_env: The default environment variable of the key.
        credentials: Returns the headers for a key.
        needs_key: Whether nothing can be sent without a key.
        other_key_envs: Other variables in which users may have a key, for `imagen
            setup`.
        options: A Struct with further options of the config block.
    """
    struct = _define_options(options, base_url, (key_env, *other_key_envs))

    # The Struct is made above, so its fields have no static types.
    def create(chosen: Any, context: BackendContext) -> ImageBackend:
        key = context.secrets.get("api_key_env")
        missing: Mapping[str, str] | None = None if needs_key else {}
        return remote_backend(
            vendor() if options is None else vendor(chosen),
            context,
            base_url=chosen.base_url,
            credentials=credentials(key) if key else missing,
            hint="Set it to a key for this API.",
            key_env=chosen.api_key_env,
        )

    return Adapter(summary=summary, options=struct, create=create, multiprocess=True)

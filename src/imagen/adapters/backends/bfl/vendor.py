"""Black Forest Labs as a vendor file: its requests, and what its responses mean."""

import re
from collections.abc import Mapping
from copy import copy
from typing import Annotated, Self, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from imagen.adapters.backends.bfl.models import DEFAULT_MODEL, Models, check_model
from imagen.adapters.backends.bfl.tasks import Account, Submitted, Task, read_status
from imagen.adapters.remote.backend import http_adapter
from imagen.adapters.remote.problems import describe_problem, parse_problem
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobStatus,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError, Refused
from imagen.domain.job import ImageJob

_HOST = re.compile(r"api(?:\.[a-z0-9-]+)?\.bfl\.ai")
_INVALID = 422
_ENDED_WITH = frozenset({404, 503})
"""Statuses with which BFL may report a task that has ended, in the usual form."""


class BflOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a bfl backend in the config, without those of every API."""

    model: Annotated[str, Meta(description="The model.", examples=["flux-3-image"])] = (
        DEFAULT_MODEL
    )
    input: Annotated[
        Mapping[str, object],
        Meta(
            description="Inputs sent with every job, by the model's own names; the"
            " parameters of the job take precedence.",
            examples=[{"safety_tolerance": 3}],
        ),
    ] = {}

    def __post_init__(self) -> None:
        check_model(self.model)


class Bfl:
    """One account at Black Forest Labs with a default model."""

    name = "BFL"
    # No status from 500 is documented as "not accepted", or as the end of a task.
    refuses_with: frozenset[int] = frozenset()
    fails_with: frozenset[int] = frozenset()
    hosts = ("api.bfl.ai", "api.*.bfl.ai")

    def __init__(self, options: BflOptions) -> None:
        """Create the vendor file."""
        self._models = Models(options.model, options.input)
        self._job: ImageJob | None = None
        self._charged: object = None

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model."""
        return self._models.describe(self._models.default)

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities of a model; nothing is sent."""
        yield from ()
        return self._models.describe(model)

    def for_job(self, job: ImageJob, *, previews: bool) -> Self:
        """Return a vendor file for one job, which keeps what it cost."""
        found = copy(self)
        found._job = job  # noqa: SLF001 - the same class
        return found

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that creates the task."""
        path = f"v1/{job.model or self._models.default}"
        return HttpRequest(method="POST", path=path, json=self._models.fill(job))

    def submitted(self, job: ImageJob, response: HttpResponse) -> JobAccepted:
        """Return the id of the task and, if BFL names it, the host that has it."""
        task = response.json(Submitted)
        self._charged = task.cost
        host = urlsplit(task.polling_url).hostname or ""
        return JobAccepted(
            reference=f"{task.id}@{host}" if _HOST.fullmatch(host) else task.id
        )

    def poll(self, reference: str) -> Exchange[JobStatus]:
        """Return the status of a task, from the host that has it."""
        name, _, host = reference.partition("@")
        path = f"https://{host}/v1/get_result" if host else "v1/get_result"
        response = yield HttpRequest(path=path, query={"id": name}, reads=_ENDED_WITH)
        task = response.json(Task)
        job = cast("ImageJob", self._job)
        # A cache on the way may confuse two tasks.
        stated = reference if task.id in {"", name} else task.id
        model = job.model or self._models.default
        return read_status(task, job, model, reference=stated, charged=self._charged)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Check the key, which has a number of credits."""
        return {"BFL": self._count_credits()}

    def _count_credits(self) -> Exchange[str]:
        response = yield HttpRequest(path="v1/credits")
        return f"{response.json(Account).credits:g} credits"

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or BFL's message."""
        detail = describe_problem(parse_problem(response.content))
        if response.status == _INVALID:
            return Refused(f"BFL refused the inputs{detail and f': {detail}'}.")
        return detail


adapter = http_adapter(
    Bfl,
    summary="The FLUX models of Black Forest Labs, from their maker.",
    base_url="https://api.bfl.ai",
    key_env="BFL_API_KEY",
    other_key_envs=("BLACK_FOREST_LABS_API_KEY",),
    credentials=lambda key: {"x-key": key},
    options=BflOptions,
)

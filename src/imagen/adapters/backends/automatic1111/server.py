"""The program behind the API, and the names of what it has."""

import msgspec

from imagen.adapters.remote.json_values import as_list, as_mapping
from imagen.adapters.remote.vendor import Exchange, HttpRequest
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    InvalidRequest,
    Unauthorized,
    Unavailable,
)
from imagen.domain.job import ImageJob
from imagen.domain.suggestion import suggest

_SHOWN = 20
"""How many names a message lists."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A program with this API.

    Attributes:
        name: Its name.
        tasks: Whether it accepts the id of a task, and tells the progress of one.
        distilled: Whether it has `distilled_cfg_scale`.
    """

    name: str
    tasks: bool = False
    distilled: bool = False


def detect_server() -> Exchange[Server]:
    """Yield small requests that only some programs answer, and return the program.

    Raises:
        Unavailable, Unauthorized: it is not reached, or the login is wrong.
    """
    if (yield from _has("sdapi/v1/version")):
        return Server(name="SD.Next")
    if (yield from _has("sdcpp/v1/capabilities")):
        return Server(name="sd-server")
    # Only the web page registers these; `--nowebui` leaves the API alone.
    tasks = yield from _has("internal/pending-tasks")
    if (yield from _has("sdapi/v1/sd-modules")):
        return Server(name="Forge", tasks=tasks, distilled=True)
    return Server(name="AUTOMATIC1111", tasks=tasks)


def find_names(job: ImageJob, *, model: str, server: Server) -> Exchange[str]:
    """Check the names in a job, and return the title of its model.

    Args:
        job: The job.
        model: The name of its model; "" for the one that is loaded.
        server: The program.

    Raises:
        InvalidRequest: the server has no model, sampler or scheduler of that name.
    """
    if "distilled_cfg_scale" in job.options and not server.distilled:
        raise InvalidRequest(f"{server.name} has no distilled_cfg_scale.")
    for kind, option, fields in (
        ("samplers", "sampler_name", ("name",)),
        ("schedulers", "scheduler", ("label", "name")),
    ):
        if option in job.options:
            yield from _find_name(kind, str(job.options[option]), fields=fields)
    if not model:
        return ""
    spellings = ("title", "model_name", "hash", "filename")
    return (yield from _find_name("sd-models", model, fields=spellings))


def _find_name(kind: str, wanted: str, *, fields: tuple[str, ...]) -> Exchange[str]:
    """Return a name as the server spells it in the first of the fields."""
    response = yield HttpRequest(path=f"sdapi/v1/{kind}")
    entries = list(map(as_mapping, as_list(response.json(object))))
    known = {
        str(entry[field]): str(entry.get(fields[0]))
        for entry in entries
        for field in fields
        if entry.get(field)
    }
    for name, sent in known.items():
        if name.lower() == wanted.lower():
            return sent
    what = kind.removeprefix("sd-").removesuffix("s")
    listed = ", ".join(list(dict.fromkeys(known.values()))[:_SHOWN])
    raise InvalidRequest(
        f"The server has no {what} {wanted!r}.",
        hint=suggest(wanted, known, f"It has {listed}."),
    )


def describe_loaded(server: Server) -> Exchange[str]:
    """Return the name of the server and of the model that it has loaded."""
    response = yield HttpRequest(path="sdapi/v1/options")
    loaded = response.json(dict[str, object]).get("sd_model_checkpoint")
    return f"{server.name}{f', {loaded}' if loaded else ''}"


def _has(path: str) -> Exchange[bool]:
    try:
        yield HttpRequest(path=path)
    except (Cancelled, Unauthorized, Unavailable):
        raise
    except ImagenError:
        return False
    return True

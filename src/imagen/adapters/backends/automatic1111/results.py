"""The responses of a WebUI, and their meaning. Nothing here sends requests.

Sources: the code of AUTOMATIC1111 1.10, Forge (2025-06), reForge (2026-03), SD.Next
(2026-07) and stable-diffusion.cpp (2026-08).
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import cast

import msgspec

from imagen.adapters.remote.json_values import as_list, as_mapping
from imagen.adapters.remote.problems import describe_problem, parse_problem
from imagen.adapters.remote.vendor import HttpResponse, JobOutput, JobSucceeded
from imagen.domain.errors import BackendError, ImagenError, InvalidRequest, Refused
from imagen.domain.seed import LARGEST_SEED

_RECORDED = ("sampler_name", "cfg_scale", "sd_model_hash", "version")


class Drawn(msgspec.Struct, frozen=True):
    """The response to `txt2img` or `img2img`."""

    images: tuple[str, ...]
    info: object = None


class TaskProgress(msgspec.Struct, frozen=True):
    """The progress of one task."""

    active: bool = False
    progress: float | None = None


def read_result(response: HttpResponse) -> JobSucceeded:
    """Return the images of a job, the requested ones first."""
    drawn = response.json(Drawn)
    info = _parse_info(drawn.info)
    first = info.get("index_of_first_image")
    grids = first if type(first) is int and 0 < first < len(drawn.images) else 0
    # Grids come before the images.
    images = [*drawn.images[grids:], *drawn.images[:grids]]
    seeds = [_read_seed(seed) for seed in as_list(info.get("all_seeds"))]
    seeds += [None] * (len(images) - len(seeds))
    model, steps = info.get("sd_model_name"), info.get("steps")
    return JobSucceeded(
        outputs=tuple(
            JobOutput(content=_decode(text), seed=seed)
            for text, seed in zip(images, seeds, strict=False)
        ),
        model=model if isinstance(model, str) else "",
        steps=steps if type(steps) is int and steps > 0 else None,
        parameters={name: info[name] for name in _RECORDED if info.get(name)},
    )


def to_error(response: HttpResponse, name: str) -> ImagenError | str:
    """Return the error for a response without success, or the server's own message."""
    problem = parse_problem(response.content)
    detail = describe_problem(problem)
    match response.status:
        case 404 if detail in {"", "Not Found"}:
            return InvalidRequest(
                f"{name} has no API.", hint="Start it with --api, and check base_url."
            )
        case 400 | 404:
            return InvalidRequest(f"{name} rejects the job: {detail}.")
        case 422:
            return Refused(f"{name} refused the parameters: {detail}.")
        case 500 if "out of memory" in detail.lower():
            return BackendError(
                f"{name} has not enough memory.", hint="Use a smaller size."
            )
        case _:
            return detail


def _parse_info(info: object) -> Mapping[str, object]:
    """Return the details of a result, which are JSON in a text; empty without them."""
    if isinstance(info, str):
        try:
            info = cast("object", msgspec.json.decode(info))
        except msgspec.DecodeError:
            return {}
    return as_mapping(info)


def _read_seed(seed: object) -> int | None:
    return seed if type(seed) is int and 0 <= seed <= LARGEST_SEED else None


def _decode(text: str) -> bytes:
    """Return an image; old versions send a data URI."""
    return b64decode(text.rpartition(",")[2])

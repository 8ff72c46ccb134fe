"""The body of a submit request, and the providers that take all of it."""

from collections.abc import Iterable, Mapping

from imagen.adapters.backends.openrouter.endpoints import (
    NEGATIVE,
    STEPS,
    Endpoint,
    common,
    union,
)
from imagen.adapters.backends.openrouter.prices import find_highest
from imagen.adapters.remote.models.images import build_data_uri
from imagen.adapters.remote.models.schema import Field
from imagen.adapters.remote.models.sizes import SIZE_INPUTS, read_sizes
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.media import SVG
from imagen.domain.money.price import ListedPrice
from imagen.domain.reference import ReferenceLimits
from imagen.domain.suggestion import suggest

PROVIDER = "openrouter"
"""The vendor's name in the tables of prices and shutdowns."""

LARGEST_SEED = 2**31 - 1

_FORMATS = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "svg": SVG,
}
_NUMBER, _REFERENCES, _SEED, _FORMAT = "n", "input_references", "seed", "output_format"
_OF_IMAGEN = {_NUMBER, _REFERENCES, _FORMAT, "stream", *NEGATIVE, *STEPS}
"""The parameters that the job has fields for."""

_REFERENCE_LIMITS = ReferenceLimits(formats=("image/png", "image/jpeg", "image/webp"))


def describe_model(model: str, endpoints: Iterable[Endpoint]) -> Capabilities:
    """Return what a model supports.

    The parameters that every job has, its size, seed and format, are those that all
    endpoints take. The others are taken by at least one, to which the job is sent.
    """
    endpoints = tuple(endpoints)
    known, shared = union(endpoints), common(endpoints)
    options = {name for each in endpoints for name in each.options}
    formats = _list_formats(shared)
    numbers, references = known.get(_NUMBER), known.get(_REFERENCES)
    price = find_highest(each.price for each in endpoints)
    own = _OF_IMAGEN | ({_SEED} & shared.keys())
    return Capabilities(
        model=model,
        models=None,
        sizes=read_sizes(shared).rule,
        largest_seed=LARGEST_SEED if _SEED in shared else None,
        negative=not options.isdisjoint(NEGATIVE),
        steps=not options.isdisjoint(STEPS),
        largest_batch=max(1, int(numbers.highest or 1)) if numbers else 1,
        formats=tuple(_FORMATS[name] for name in formats),
        parameters={
            **{name: known[name].summary for name in sorted(known.keys() - own)},
            **dict.fromkeys(sorted(options - own), "an option of the provider"),
        },
        references=int(references.highest or 0) if references else 0,
        reference_limits=_REFERENCE_LIMITS,
        provider=PROVIDER,
        prices=(
            ()
            if price is None
            else (ListedPrice(provider=PROVIDER, model=model, price=price),)
        ),
        output_type=SVG if formats == ("svg",) else "",
    )


def build_body(
    job: ImageJob, model: str, endpoints: tuple[Endpoint, ...], *, pinned: bool
) -> dict[str, object]:
    """Return the body of the submit request.

    OpenRouter ignores what a provider does not take, so the request names the providers
    that take all of it.

    Args:
        job: The job.
        model: The model.
        endpoints: The endpoints that may be used.
        pinned: Whether the config names the providers.

    Raises:
        InvalidRequest: no provider takes all parameters.
    """
    wanted = _list_parameters(job, endpoints)
    taking = tuple(
        each
        for each in endpoints
        if all(each.takes(name, value) for name, value in wanted.items())
    )
    if not taking:
        raise _describe_conflict(model, endpoints, wanted)
    known = union(taking)
    body: dict[str, object] = {"model": model, "prompt": job.prompt}
    body |= {name: wanted[name] for name in wanted if name in known}
    if job.images:
        body[_REFERENCES] = [
            {"type": "image_url", "image_url": {"url": build_data_uri(image)}}
            for image in job.images
        ]
    options = {name: wanted[name] for name in wanted if name not in known}
    routing: dict[str, object] = {}
    if pinned or len(taking) < len(endpoints):
        routing["only"] = list(dict.fromkeys(each.tag for each in taking))
    if options:
        routing["options"] = {each.slug: options for each in taking}
    return {**body, "provider": routing} if routing else body


def _list_parameters(
    job: ImageJob, endpoints: tuple[Endpoint, ...]
) -> dict[str, object]:
    """Return the parameters of a job by OpenRouter's names.

    References are represented by their number.

    Raises:
        InvalidRequest: no endpoint takes a value.
    """
    known, shared = union(endpoints), common(endpoints)
    wanted = dict(job.options)
    for name in known.keys() & wanted.keys():
        # In the spelling of the API: 512 is "512".
        wanted[name] = known[name].convert(wanted[name])
    given = {name: wanted[name] for name in SIZE_INPUTS if name in wanted}
    wanted |= read_sizes(shared).choose_inputs(job.size, given)
    if job.seed is not None:
        wanted[_SEED] = job.seed
    if job.count > 1:
        wanted[_NUMBER] = job.count
    if job.images:
        wanted[_REFERENCES] = len(job.images)
    if formats := _list_formats(shared):
        chosen = (name for name in formats if _FORMATS[name] == job.media_type)
        wanted[_FORMAT] = next(chosen, formats[0])
    for names, value in ((NEGATIVE, job.negative), (STEPS, job.steps)):
        if value:
            found = (each.find(names) for each in endpoints)
            wanted[next(filter(None, found), names[0])] = value
    return wanted


def _describe_conflict(
    model: str, endpoints: tuple[Endpoint, ...], wanted: Mapping[str, object]
) -> InvalidRequest:
    """Return the error for parameters that no endpoint takes together."""
    known = union(endpoints)
    options = {name for each in endpoints for name in each.options}
    for name in wanted:
        if name not in known and name not in options:
            listed = f"Its parameters: {', '.join(sorted({*known, *options}))}."
            return InvalidRequest(
                f"{model} has no parameter {name!r}.",
                hint=suggest(name, {*known, *options}, listed),
            )
    return InvalidRequest(
        f"No provider of {model} takes {', '.join(sorted(wanted))} together.",
        hint="Leave one of them out.",
    )


def _list_formats(shared: Mapping[str, Field]) -> tuple[str, ...]:
    """Return the names of the formats that can be requested, the default first."""
    found = shared[_FORMAT].choices if _FORMAT in shared else ()
    return tuple(name for name in _FORMATS if name in found)

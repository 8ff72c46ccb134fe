"""From what was planned and what came back to the note that says so."""

from datetime import UTC, datetime
from hashlib import sha256

from imagen.domain.container import ImageFacts
from imagen.domain.cost import Cost
from imagen.domain.plan import GenerationPlan, ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.sidecar import Change, Sidecar


def describe_image(
    *,
    image_id: str,
    created_at: datetime,
    plan: GenerationPlan,
    job: ImageJob,
    generated: Generated,
    image: GeneratedImage,
    facts: ImageFacts,
    cost: Cost,
    latency_ms: int,
    caller: str,
    version: str,
    notes: tuple[str, ...] = (),
) -> Sidecar:
    """Return the note of one image; size and hash of its file are still to come.

    Args:
        image_id: The image's own id.
        created_at: When it came back.
        plan: What was to be done.
        job: The call that made it.
        generated: What the call returned.
        image: Which of the call's images it is.
        facts: What the file will be, after conversions.
        cost: The image's share of what the call cost.
        latency_ms: How long the call took.
        caller: Who asked.
        version: Of imagen.
        notes: What happened to the image on its way to the file.
    """
    request, honesty = plan.request, plan.honesty
    applied, adjusted = dict(honesty.applied), dict(honesty.adjusted)
    warnings = [*honesty.warnings(), *notes]
    seed = job.seed if image.seed is None else image.seed
    if job.seed is not None:
        applied["seed"] = seed
    size = f"{facts.width}x{facts.height}"
    observed = {"size": (str(plan.size), size), "seed": (job.seed, seed)}
    for name, (asked, used) in observed.items():
        known = adjusted.get(name)
        if used == asked or asked is None:
            if name == "size":
                adjusted.pop(name, None)
            continue
        if known is None or known.used != used:
            reason = f"{plan.instance.name} reports or sent another one"
            adjusted[name] = Change(requested=asked, used=used, reason=reason)
            warnings.append(f"{name} {asked} became {used}: {reason}")
        applied.pop(name, None)
    return Sidecar(
        id=image_id,
        created_at=_written(created_at),
        prompt=request.prompt,
        negative=job.negative,
        style=request.style.name if request.style else None,
        prompt_sent=job.prompt,
        prompt_sha256=sha256(request.prompt.encode()).hexdigest(),
        backend=plan.instance.name,
        adapter=plan.instance.adapter,
        model=generated.model or job.model,
        seed=seed,
        steps=generated.steps if job.steps is None else job.steps,
        width=facts.width,
        height=facts.height,
        requested_size=str(plan.size),
        mime_type=facts.media_type,
        bytes=0,
        sha256="",
        source_sha256=sha256(image.content).hexdigest(),
        latency_ms=latency_ms,
        cost_usd=cost.usd,
        cost_source=cost.source,
        caller=caller,
        parameters={**job.options, **generated.parameters},
        applied=applied,
        ignored=honesty.ignored,
        adjusted=adjusted,
        warnings=tuple(warnings),
        imagen_version=version,
    )


def _written(moment: datetime) -> str:
    utc = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return utc.replace("+00:00", "Z")

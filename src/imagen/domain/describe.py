"""From what was planned and what came back to the note that says so."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from imagen.domain.money.cost import Cost
from imagen.domain.plan import GenerationPlan, ImageJob, ParameterReport
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.sidecar import Change, Reference, Sidecar
from imagen.formats.container import ImageFacts


def build_sidecar(
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
    usage_id: str | None,
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
        usage_id: The ledger's row of the call, if it has one.
        version: Of imagen.
        notes: What happened to the image on its way to the file.
    """
    request = plan.request
    seed = job.seed if image.seed is None else image.seed
    steps = job.steps if generated.steps is None else generated.steps
    honesty = _observed(
        plan, job, seed=seed, steps=steps, size=f"{facts.width}x{facts.height}"
    )
    parameters, lost = _writable({**job.options, **generated.parameters})
    return Sidecar(
        id=image_id,
        usage_id=usage_id,
        created_at=_written(created_at),
        prompt=request.prompt,
        negative=plan.negative,
        style=request.style.name if request.style else None,
        prompt_sent=job.prompt,
        prompt_sha256=sha256(request.prompt.encode()).hexdigest(),
        backend=plan.instance.name,
        adapter=plan.instance.adapter,
        model=generated.model or job.model,
        seed=seed,
        steps=steps,
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
        parameters=parameters,
        applied=honesty.applied,
        ignored=honesty.ignored,
        adjusted=honesty.adjusted,
        references=tuple(
            Reference(name=each.name, sha256=each.sha256)
            for each in (*job.images, *((job.mask,) if job.mask else ()))
        ),
        warnings=(*honesty.warnings(), *lost, *notes),
        imagen_version=version,
    )


def _observed(
    plan: GenerationPlan,
    job: ImageJob,
    *,
    seed: int | None,
    steps: int | None,
    size: str,
) -> ParameterReport:
    """Return what became of each parameter, now that it can be seen."""
    applied, adjusted = (
        dict(plan.parameter_report.applied),
        dict(plan.parameter_report.adjusted),
    )
    why = f"{plan.instance.name} reports or sent another one"
    seen: tuple[tuple[str, object, object, object], ...] = (
        ("size", str(plan.size), str(job.size), size),
        ("seed", _asked_seed(plan, job), job.seed, seed),
        ("steps", job.steps, job.steps, steps),
    )
    for name, asked, sent, used in seen:
        if asked is None:
            continue
        planned = adjusted.pop(name, None)
        applied.pop(name, None)
        if used == asked:
            applied[name] = used
        else:
            reason = planned.reason if planned and used == sent else why
            adjusted[name] = Change(requested=asked, used=used, reason=reason)
    return ParameterReport(
        applied=applied,
        ignored=plan.parameter_report.ignored,
        adjusted=adjusted,
        notes=plan.parameter_report.notes,
    )


def _asked_seed(plan: GenerationPlan, job: ImageJob) -> int | None:
    """Return the seed that the image was to have; a drawn one was to be itself."""
    planned = plan.parameter_report.adjusted.get("seed")
    if planned is None or job.seed is None or not isinstance(planned.requested, int):
        return job.seed
    return planned.requested + job.number - 1


def _writable(
    parameters: Mapping[str, object],
) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the parameters as far as they can be written down, and a word if not."""
    try:
        return msgspec.json.decode(msgspec.json.encode(parameters)), ()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {}, ("what the backend reported cannot be written down",)


def _written(moment: datetime) -> str:
    utc = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return utc.replace("+00:00", "Z")

"""The sidecar of an image, from the plan and the backend's result."""

from collections.abc import Mapping
from datetime import UTC
from hashlib import sha256

import msgspec

from imagen.domain.call import Call, Received
from imagen.domain.job import GenerationPlan, ImageJob, ParameterReport
from imagen.domain.money.cost import Cost
from imagen.domain.request import MAX_STEPS
from imagen.domain.result import GeneratedImage
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.sidecar import Change, Reference, Sidecar
from imagen.formats.container import ImageFacts


def build_sidecar(
    call: Call,
    received: Received,
    image: GeneratedImage,
    *,
    position: int,
    facts: ImageFacts,
    cost: Cost,
    version: str,
    unfitted: str = "",
    notes: tuple[str, ...] = (),
) -> Sidecar:
    """Return the sidecar of one image, still without `bytes` and `sha256`.

    Args:
        position: The position of the image among all outputs of the call, from 0.
        facts: Type and size of the file after all conversions.
        cost: The image's share of the call's cost.
        unfitted: Why the image was not fitted to the requested size; "" if it was.
        notes: Changes made to the image before it was stored.
    """
    plan, job, generated = call.plan, call.job, received.generated
    request = plan.request
    made = received.at.astimezone(UTC).isoformat(timespec="milliseconds")
    seed = _choose_figure(image.seed, job.seed, largest=LARGEST_SEED)
    steps = _choose_figure(generated.steps, job.steps, largest=MAX_STEPS)
    report = _report_observed(
        plan, job, seed=seed, steps=steps, size=f"{facts.width}x{facts.height}"
    )
    if unfitted and "fit" in report.applied:
        applied = {
            name: value
            for name, value in report.applied.items()
            if name not in {"fit", "fit_upscale"}
        }
        ignored = {**report.ignored, "fit": unfitted}
        report = msgspec.structs.replace(report, applied=applied, ignored=ignored)
    parameters, problems = _to_json_values({**job.options, **generated.parameters})
    return Sidecar(
        id=call.output_id(position),
        usage_id=call.id if call.may_cost else None,
        created_at=made.replace("+00:00", "Z"),
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
        latency_ms=received.latency_ms,
        cost_usd=cost.usd,
        cost_source=cost.source,
        caller=call.caller,
        parameters=parameters,
        applied=report.applied,
        ignored=report.ignored,
        adjusted=report.adjusted,
        references=tuple(
            Reference(name=each.name, sha256=each.sha256)
            for each in (*job.images, *((job.mask,) if job.mask else ()))
        ),
        warnings=(*report.warnings(), *problems, *notes),
        imagen_version=version,
        extra=position >= job.count,
    )


def _choose_figure(
    reported: int | None, sent: int | None, *, largest: int
) -> int | None:
    """Return the reported figure, unless it is missing or cannot be right."""
    return sent if reported is None or not 0 <= reported <= largest else reported


def _report_observed(
    plan: GenerationPlan,
    job: ImageJob,
    *,
    seed: int | None,
    steps: int | None,
    size: str,
) -> ParameterReport:
    """Return the parameter report, corrected by the values of the actual image."""
    report = plan.parameter_report
    applied, adjusted = dict(report.applied), dict(report.adjusted)
    why = f"{plan.instance.name} reports or returned another value"
    observed: tuple[tuple[str, object, object, object], ...] = (
        ("size", str(plan.size), str(job.size), size),
        ("seed", _requested_seed(plan, job), job.seed, seed),
        ("steps", job.steps, job.steps, steps),
    )
    for name, requested, sent, used in observed:
        if requested is None:
            continue
        planned = adjusted.pop(name, None)
        applied.pop(name, None)
        if used == requested:
            applied[name] = used
        else:
            reason = planned.reason if planned and used == sent else why
            adjusted[name] = Change(requested=requested, used=used, reason=reason)
    return msgspec.structs.replace(report, applied=applied, adjusted=adjusted)


def _requested_seed(plan: GenerationPlan, job: ImageJob) -> int | None:
    """Return the seed that was requested for the image, or drawn for it."""
    planned = plan.parameter_report.adjusted.get("seed")
    if planned is None or job.seed is None or not isinstance(planned.requested, int):
        return job.seed
    return planned.requested + job.number - 1


def _to_json_values(
    parameters: Mapping[str, object],
) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the parameters as JSON values, or none of them and a warning."""
    try:
        return msgspec.json.decode(msgspec.json.encode(parameters)), ()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {}, ("the backend reported parameters that cannot be stored as JSON",)

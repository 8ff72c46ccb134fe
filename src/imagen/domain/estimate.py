"""What a plan would send and cost, for somebody who wants to know before."""

from collections.abc import Mapping

import msgspec

from imagen.domain.consumption import Used
from imagen.domain.money.cost import FREE, Cost
from imagen.domain.money.price import calculate_cost
from imagen.domain.plan import GenerationPlan, ImageJob
from imagen.domain.sidecar import Change


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent, and what it would cost.

    Attributes:
        backend: The instance that would get it.
        model: "" when the backend has no name for it.
        images: How many would be made.
        calls: In how many calls.
        prompt_sent: After the style.
        negative: "" when there is none.
        size: That the backend would make.
        requested_size: That was asked for.
        seeds: One for each call; empty when the backend takes none.
        steps: None when it is the backend's own number.
        cost_usd: Dollars for all of it; None when unknown, never 0 for unknown.
        cost_source: Where that figure comes from.
        applied: What is sent as asked.
        ignored: What is not sent, and why.
        adjusted: What is sent differently, and why.
    """

    backend: str
    adapter: str
    model: str
    images: int
    calls: int
    prompt_sent: str
    negative: str
    size: str
    requested_size: str
    seeds: tuple[int, ...]
    steps: int | None
    cost_usd: float | None
    cost_source: str
    applied: Mapping[str, object]
    ignored: Mapping[str, str]
    adjusted: Mapping[str, Change]


def estimate_job_cost(plan: GenerationPlan, job: ImageJob) -> Cost:
    """Return what one of the plan's calls will cost, as far as that can be known."""
    if not plan.may_cost:
        return FREE
    megapixels = job.count * job.size.megapixels
    return calculate_cost(plan.price, Used(images=job.count, megapixels=megapixels))


def estimate_plan_cost(plan: GenerationPlan) -> Cost:
    """Return what all of its calls will cost; unknown if that of one is."""
    costs = [estimate_job_cost(plan, job) for job in plan.jobs]
    known = [cost.micros for cost in costs if cost.micros is not None]
    if len(known) < len(costs):
        return Cost()
    return Cost(micros=sum(known), source=costs[0].source)


def estimate_plan(plan: GenerationPlan) -> Estimate:
    """Return what carrying out the plan would send and cost."""
    job = plan.jobs[0]
    cost = estimate_plan_cost(plan)
    return Estimate(
        backend=plan.instance.name,
        adapter=plan.instance.adapter,
        model=job.model,
        images=plan.request.count,
        calls=len(plan.jobs),
        prompt_sent=job.prompt,
        negative=job.negative,
        size=str(job.size),
        requested_size=str(plan.size),
        seeds=tuple(job.seed for job in plan.jobs if job.seed is not None),
        steps=job.steps,
        cost_usd=cost.usd,
        cost_source=cost.source,
        applied=plan.parameter_report.applied,
        ignored=plan.parameter_report.ignored,
        adjusted=plan.parameter_report.adjusted,
    )

"""Estimates: what a plan would send and cost."""

from collections.abc import Mapping

import msgspec

from imagen.domain.job import GenerationPlan, ImageJob
from imagen.domain.money.cost import FREE, Cost, format_cost, sum_costs
from imagen.domain.money.price import estimate_cost
from imagen.domain.sidecar import Change


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a plan and their cost.

    Attributes:
        backend: Name of the instance.
        model: Name of the model; "" if it has none.
        prompt_sent: The prompt with the style applied.
        size: Size that the backend makes.
        requested_size: Size that was requested.
        seeds: One for each call; empty if the backend takes no seed.
        steps: Number of steps; None for the backend's default.
        cost_usd: Total in dollars; None if unknown, never 0 for unknown.
        applied, ignored, adjusted, notes: As in `ParameterReport`.
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
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, str]:
        """Return the facts for display, without those that are empty."""
        calls = "call" if self.calls == 1 else "calls"
        facts = {
            "backend": f"{self.backend} ({self.adapter})",
            "model": self.model,
            "images": f"{self.images}, in {self.calls} {calls}",
            "size": self.size,
            "seed": ", ".join(map(str, self.seeds)) or "none",
            "steps": str(self.steps or "backend default"),
            "prompt": self.prompt_sent,
            "negative": self.negative,
            **{f"ignored: {name}": why for name, why in self.ignored.items()},
            **{
                f"adjusted: {name}": f"{change.requested} becomes {change.used}: "
                f"{change.reason}"
                for name, change in self.adjusted.items()
            },
            "notes": "; ".join(self.notes),
            "cost": format_cost(self.cost_usd) or "unknown",
        }
        return {name: fact for name, fact in facts.items() if fact}


def estimate_job_cost(plan: GenerationPlan, job: ImageJob) -> Cost:
    """Return the expected cost of one call of the plan; unknown without a price."""
    if not plan.may_cost:
        return FREE
    megapixels = job.count * job.size.megapixels
    return estimate_cost(plan.price, images=job.count, megapixels=megapixels)


def estimate_plan_cost(plan: GenerationPlan) -> Cost:
    """Return the expected cost of all calls; unknown if one of them is unknown."""
    return sum_costs([estimate_job_cost(plan, job) for job in plan.jobs])


def estimate_plan(plan: GenerationPlan) -> Estimate:
    """Return the estimate of a plan."""
    job = plan.jobs[0]
    cost = estimate_plan_cost(plan)
    return Estimate(
        backend=plan.instance.name,
        adapter=plan.instance.adapter,
        model=job.model,
        images=plan.count,
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
        notes=plan.parameter_report.notes,
    )

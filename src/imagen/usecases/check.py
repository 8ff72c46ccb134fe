"""Check at no cost whether backends are ready."""

from collections.abc import Callable, Iterable

import msgspec

from imagen.domain import events
from imagen.domain.errors import ImagenError
from imagen.domain.instance import Instance
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    ImageBackend,
    Readiness,
)
from imagen.ports.clock import Clock

LONGEST_CHECK = 20.0
"""Seconds for the check of one backend."""


class CheckedBackend(msgspec.Struct, frozen=True, kw_only=True):
    """The findings about one backend of the config."""

    name: str
    adapter: str
    findings: tuple[Readiness, ...]

    @property
    def ready(self) -> bool:
        """True if all findings are positive."""
        return all(finding.ready for finding in self.findings)


def check_backend(
    instance: Instance, build: Callable[[], ImageBackend], *, clock: Clock
) -> CheckedBackend:
    """Build the backend and run its check; an error becomes a finding."""
    backend: ImageBackend | None = None
    context = RunningJobContext(number=1, clock=clock, listen=events.ignore_event)
    cancel_alarm = clock.after(LONGEST_CHECK, context.expire)
    try:
        backend = build()
        if isinstance(backend, CheckableBackend):
            findings = _check_findings(backend.check(context))
        else:
            note = "this adapter has no further check that costs nothing"
            findings = (Readiness(name="configured", ready=True, note=note),)
    except ImagenError as error:
        # The error of an expired check is that of the connection it has closed.
        expired = f"no response within {LONGEST_CHECK:g} seconds"
        note = expired if context.timed_out else error.explanation
        findings = (Readiness(name="configured", ready=False, note=note),)
    except Exception as error:  # noqa: BLE001 - a bug of an adapter is a finding too
        words = str(error) or type(error).__name__
        note = f"internal error of the adapter {instance.adapter}: {words}"
        findings = (Readiness(name="configured", ready=False, note=note),)
    finally:
        cancel_alarm()
        if isinstance(backend, CloseableBackend):
            backend.close()
    return CheckedBackend(
        name=instance.name, adapter=instance.adapter, findings=findings
    )


def _check_findings(findings: Iterable[object]) -> tuple[Readiness, ...]:
    """Return the findings of an adapter; any other value is a bug of the adapter."""
    checked: list[Readiness] = []
    for each in findings:
        if not isinstance(each, Readiness):
            raise TypeError("its check returns something else than findings")
        checked.append(each)
    return tuple(checked)

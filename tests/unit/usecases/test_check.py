import pytest

from imagen.domain.errors import Misconfigured, Unauthorized
from imagen.domain.instance import Instance
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import FakeClock, ScriptedBackend
from imagen.usecases.check import LONGEST_CHECK, CheckedBackend, check_backend

READY = Readiness(name="reachable", ready=True, note="1.2")
MISSING = Readiness(name="model", ready=False, note="not there")


class Checkable(ScriptedBackend):
    """Finds what it is told to find, or fails so, or never ends."""

    def __init__(self, *findings: Readiness | Exception, endless: bool = False) -> None:
        super().__init__()
        self.findings = findings
        self.endless = endless

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        while self.endless:
            context.sleep(3)
        for finding in self.findings:
            if isinstance(finding, Exception):
                raise finding
        return tuple(one for one in self.findings if isinstance(one, Readiness))


def checked(backend: ImageBackend | Exception) -> CheckedBackend:
    def build() -> ImageBackend:
        if isinstance(backend, Exception):
            raise backend
        return backend

    instance = Instance(name="box", adapter="fake")
    return check_backend(instance, build, clock=FakeClock())


@pytest.mark.parametrize(
    ("findings", "ready"), [((READY,), True), ((READY, MISSING), False)]
)
def test_is_ready_when_everything_is(
    findings: tuple[Readiness, ...], ready: bool
) -> None:
    result = checked(Checkable(*findings))

    assert (result.name, result.adapter) == ("box", "fake")
    assert (result.findings, result.ready) == (findings, ready)


def test_a_backend_that_cannot_look_is_taken_at_its_word() -> None:
    result = checked(ScriptedBackend())

    assert result.ready
    assert "no further check that costs nothing" in result.findings[0].note


@pytest.mark.parametrize(
    "backend",
    [
        Misconfigured("No base_url.", hint="Set it."),
        Checkable(Unauthorized("No base_url.", hint="Set it.")),
    ],
)
def test_what_fails_is_a_finding(backend: ImageBackend | Exception) -> None:
    result = checked(backend)

    assert not result.ready
    assert result.findings[0].note == "No base_url. Set it."


@pytest.mark.parametrize(
    ("findings", "note"),
    [
        (KeyError("version"), "internal error of the adapter fake: 'version'"),
        (AssertionError(), "internal error of the adapter fake: AssertionError"),
        (None, "'NoneType' object is not iterable"),
        (("ready",), "its check returns something else than findings"),
    ],
)
def test_a_bug_of_the_adapter_is_a_finding(findings: object, note: str) -> None:
    class Broken(ScriptedBackend):
        def check(self, context: JobContext) -> object:
            del context
            if isinstance(findings, Exception):
                raise findings
            return findings

    result = checked(Broken())

    assert not result.ready
    assert result.findings[0].note.endswith(note)


def test_does_not_wait_for_ever() -> None:
    result = checked(Checkable(endless=True))

    assert not result.ready
    assert f"{LONGEST_CHECK:g} seconds" in result.findings[0].note


@pytest.mark.parametrize(
    "backend", [ImportError("no torch"), Checkable(ZeroDivisionError())]
)
def test_a_fault_of_an_adapter_is_a_finding(backend: ImageBackend | Exception) -> None:
    assert not checked(backend).ready

"""Each sentence of the backend port has a test, and each test a sentence."""

from imagen.testing import HttpBackendContract
from imagen.testing.contracts.promises import PROMISES

DESCRIPTIONS = {
    "ImageBackend: A service that makes images.",
    "ImageBackend: Prove an implementation with `imagen.testing.BackendContract`, or "
    "with `HttpBackendContract` if its vendor is called over HTTP.",
    "WarmupBackend: A backend that needs some time before it can submit its first job.",
    "prepare: Called before the journal records that a job is about to be sent.",
    "prepare: That keeps the time short in which a crash leaves the state of the job "
    "unknown.",
    "PerModelBackend: A backend whose capabilities depend on the model and must be "
    "looked up.",
    "ResumableBackend: A backend that can continue a job that another process "
    "submitted.",
    "LookupBackend: A backend that can find out whether it accepted a job of unknown "
    "state.",
    "find: Jobs not yet listed by the vendor may be missing.",
    "CostBackend: A backend whose vendor can state the cost of a job after it has "
    "ended.",
    "look_up_cost: They are recorded before this method is called, for a result "
    "without a cost.",
    "look_up_cost: They are not stored until it returns, so it is cancelled after a "
    "few seconds.",
    "CheckableBackend: A backend that can check its setup without cost.",
    "CloseableBackend: A backend that holds resources such as connections.",
    "close: The backend is not used afterwards.",
}
"""Sentences that promise nothing."""


def contract_tests() -> dict[str, object]:
    return {
        name: getattr(HttpBackendContract, name)
        for name in dir(HttpBackendContract)
        if name.startswith("test_")
    }


def test_each_sentence_of_the_port_has_a_test() -> None:
    proven = {
        key
        for test in contract_tests().values()
        for key in getattr(test, "promises", ())
    }

    assert sorted(set(PROMISES) - DESCRIPTIONS - proven) == []
    assert sorted(DESCRIPTIONS - set(PROMISES)) == []


def test_each_test_proves_a_sentence_of_the_port() -> None:
    without = [
        name
        for name, test in contract_tests().items()
        if not getattr(test, "promises", ())
    ]

    assert without == []

"""BFL keeps every promise of a backend."""

from collections.abc import Callable

from tests.contract.lacks import (
    NO_BATCHES,
    NO_CANCEL,
    NO_COSTS,
    NO_LISTS,
    NO_SETUP,
)
from tests.integration.bfl.stub import CREDITS, BflStub

from imagen.adapters.backends.bfl.vendor import adapter
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse


def ended(status: str, **more: object) -> Callable[[RecordedRequest], StubResponse]:
    def respond(request: RecordedRequest) -> StubResponse:
        body = {"id": request.query["id"], "status": status, "result": None, **more}
        return StubResponse(json=body)

    return respond


class TestBfl(HttpBackendContract):
    lacks = {
        **NO_COSTS,
        **NO_LISTS,
        **NO_BATCHES,
        **NO_SETUP,
        **NO_CANCEL,
        "the vendor or its backend has no stage 'capabilities_of'": {
            "test_stops_at_every_stage[capabilities_of]"
        },
    }
    adapter = adapter
    secrets = {"api_key_env": "bfl-canary-7f3a"}
    may_cost, price_micros = True, int(CREDITS * 10_000)
    can_cancel = False
    parameters = {"safety_tolerance": 4}
    invalid_options = {"safety_tolerance": 9}
    moderation = {"poll": ended("Request Moderated", details="Safety Filter")}
    failure = {"poll": ended("Error", details="generation failed")}
    doubled = None  # a task is one image
    fractions = (0.4,)

    def make_stub(self) -> Stub:
        return BflStub()

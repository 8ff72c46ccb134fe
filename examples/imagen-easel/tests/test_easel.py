from base64 import b64encode
from collections.abc import Mapping

import imagen_easel

from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse


class EaselStub(Stub):
    """Easel paints one picture at a time; the others wait."""

    painting: str | None = None

    def __call__(self, request: RecordedRequest) -> StubResponse:
        match request.path:
            case "/v1/progress":
                return StubResponse(json={"task": self.painting, "progress": 0.5})
            case "/v1/paint":
                return self.paint(request.json())
            case "/v1/interrupt" | "/v1/models":
                return StubResponse(json={})
        raise LookupError

    def paint(self, body: Mapping[str, object]) -> StubResponse:
        with self.lock:
            self.painting = body["task"]
            self.draw()
            self.painting = None
        picture = b64encode(self.picture(body["width"], body["height"])).decode()
        answer = {"images": [picture], "seeds": [body["seed"]], "model": body["model"]}
        return StubResponse(json={**answer, "steps": body["steps"] or 20})


class TestEasel(HttpBackendContract):
    adapter = imagen_easel.adapter
    secrets = {"api_key_env": "canary:easel-7f3a"}
    may_cost = False
    has_job_ids = False
    parameters = {"guidance": 11.5, "sampler": "heun"}
    invalid_options = {"guidance": "purple"}
    moderation = {}
    failure = {"submit": StubResponse(status=500, json={})}
    fractions = (0.5,)
    refuses_with = frozenset({503})
    fails_with = frozenset({500})

    def make_stub(self) -> Stub:
        return EaselStub()

    def is_submit(self, request: RecordedRequest) -> bool:
        return request.path == "/v1/paint"

    def doubled(self, response: StubResponse) -> StubResponse:
        both = {name: 2 * response.json[name] for name in ("images", "seeds")}
        return StubResponse(json={**response.json, **both})

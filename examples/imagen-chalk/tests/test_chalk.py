import imagen_chalk

from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse


class ChalkStub(Stub):
    """Chalk, when nothing is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.drawings: dict[str, dict] = {}
        self.polls: dict[str, int] = {}

    def __call__(self, request: RecordedRequest) -> StubResponse:
        _, _, kind, *rest = request.path.split("/")
        if kind == "account" or request.method == "DELETE":
            return StubResponse(json={})
        if request.method == "POST":
            with self.lock:
                name = f"d-{len(self.drawings) + 1}"
                self.drawings[name] = request.json()
            return StubResponse(status=202, json={"id": name, "state": "drawing"})
        name, *file = rest
        drawing = self.drawings[name]
        if file:
            image = self.picture(drawing["width"], drawing["height"])
            return StubResponse(content=image)
        polls = self.polls[name] = self.polls.get(name, 0) + 1
        state = "done" if polls > 2 else "drawing"
        done = {"progress": min(1.0, polls / 2), "seed": drawing["seed"]}
        return StubResponse(
            json={"id": name, "state": state, "price_micros": 4000, **done}
        )


class TestChalk(HttpBackendContract):
    adapter = imagen_chalk.adapter
    secrets = {"api_key_env": "chalk-canary-7f3a"}
    may_cost, price_micros = True, 4000
    refuses_with = frozenset({502, 503})
    parameters = {"mood": "grave"}
    invalid_options = {"mood": "purple"}
    moderation = {"submit": StubResponse(status=422, json={})}
    failure = {"poll": StubResponse(json={"id": "d-1", "state": "failed"})}
    doubled = None  # a drawing is one image
    fractions = (0.5,)

    def make_stub(self) -> Stub:
        return ChalkStub()

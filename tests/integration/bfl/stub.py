"""Black Forest Labs when nothing is wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from imagen.testing import RecordedRequest, Stub, StubResponse

CREDITS = 3.5


class BflStub(Stub):
    """One region that accepts tasks, reports them, and keeps their images."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[str, dict] = {}

    def __call__(self, request: RecordedRequest) -> StubResponse:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["v1", model]:
                return self.accept(model, request.json())
            case "GET", ["v1", "get_result"]:
                return self.report(request.query["id"])
            case "GET", ["v1", "credits"]:
                return StubResponse(json={"credits": 995.2})
            case "GET", ["results", name]:
                return self.send_file(self.tasks[name.partition(".")[0]]["input"])
        raise LookupError

    def accept(self, model: str, body: Mapping[str, object]) -> StubResponse:
        """Accept a task, which costs the same whatever it is."""
        id_ = str(uuid4())
        with self.lock:
            self.tasks[id_] = {"model": model, "input": body, "polls": 0}
        return StubResponse(
            json={
                "id": id_,
                "polling_url": self.url(f"v1/get_result?id={id_}"),
                "cost": CREDITS,
                "input_mp": 0.0,
                "output_mp": 0.79,
            }
        )

    def report(self, id_: str) -> StubResponse:
        """Report a task: pending, generating, ready."""
        body = {"id": id_, "status": "Pending", "result": None, "progress": None}
        if id_ not in self.tasks:
            return StubResponse(status=404, json={**body, "status": "Task not found"})
        task = self.tasks[id_]
        task["polls"] += 1
        if task["polls"] == 1:
            return StubResponse(json=body)
        if task["polls"] == 2:
            return StubResponse(json={**body, "status": "Generating", "progress": 0.4})
        return StubResponse(json={**body, "status": "Ready", **self.finish(id_, task)})

    def finish(self, id_: str, task: dict) -> dict[str, object]:
        """Return the result of a task."""
        result = {
            "sample": self.url(f"results/{id_}.png?sig=abc"),
            "prompt": task["input"]["prompt"],
            "seed": task["input"].get("seed", 4711),
            "end_time": datetime.now(UTC).timestamp(),
        }
        return {"result": result, "cost": CREDITS}

    def send_file(self, body: Mapping[str, int | str]) -> StubResponse:
        """Return an image of the size and the format of the task."""
        width, height = int(body.get("width", 64)), int(body.get("height", 64))
        media_type = f"image/{body.get('output_format', 'jpeg')}"
        content = self.picture(width, height, media_type=media_type)
        return StubResponse(content=content)

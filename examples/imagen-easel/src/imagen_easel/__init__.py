"""Generate images with Easel: one long request is the job, and there are no ids."""

from base64 import b64decode
from typing import Annotated

import msgspec

import imagen.backend as kit


class EaselParameters(msgspec.Struct, frozen=True):
    """The parameters that `--set` accepts."""

    guidance: Annotated[float, msgspec.Meta(ge=1, le=30)] = 7.0
    sampler: str = "euler"


class Painted(msgspec.Struct, frozen=True):
    """The response to the long request: the images in base64, and their seeds."""

    images: list[str]
    seeds: list[int]
    steps: int
    model: str


class Progress(msgspec.Struct, frozen=True):
    """The painting that Easel makes now: the task and its fraction."""

    task: str | None = None
    progress: float = 0.0


class Easel:
    """The API of Easel, which paints for one client at a time, on its own machine."""

    name = "Easel"
    # 503: the queue is full. 500: the painting failed, for example without memory.
    refuses_with = frozenset({503})
    fails_with = frozenset({500})

    def capabilities(self) -> kit.Capabilities:
        """Return the capabilities that Easel documents."""
        return kit.Capabilities(
            model="oil",
            models=None,
            sizes=kit.SizeRule(multiple=8, smallest=64, largest=2048),
            largest_seed=2**32 - 1,
            negative=True,
            steps=True,
            formats=("image/png",),
            parameters={"guidance": "1 to 30", "sampler": "such as euler or heun"},
            may_cost=False,
        )

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        """Return the long request; `task` names it in the progress."""
        parameters = kit.decode_options(job, EaselParameters, vendor=self.name)
        body = {
            "task": key,
            "prompt": job.prompt,
            "negative_prompt": job.negative,
            "width": job.size.width,
            "height": job.size.height,
            "seed": job.seed,
            "steps": job.steps,
            "model": job.model or "oil",
            "guidance": parameters.guidance,
            "sampler": parameters.sampler,
        }
        return kit.HttpRequest(method="POST", path="v1/paint", json=body)

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobSucceeded:
        """Return the images of the finished painting."""
        painted = response.json(Painted)
        outputs = [
            kit.JobOutput(content=b64decode(text, validate=True), seed=seed)
            for text, seed in zip(painted.images, painted.seeds, strict=True)
        ]
        return kit.JobSucceeded(
            outputs=tuple(outputs), model=painted.model, steps=painted.steps
        )

    def progress(self, key: str) -> kit.HttpRequest:
        """Return the request for the progress of the painting that Easel makes now."""
        return kit.HttpRequest(path="v1/progress")

    def progressed(self, key: str, response: kit.HttpResponse) -> kit.JobRunning | None:
        """Return the progress, or None while Easel paints for another client."""
        now = response.json(Progress)
        return kit.JobRunning(fraction=now.progress) if now.task == key else None

    def cancel(self, reference: str) -> kit.HttpRequest:
        """Return the request that interrupts the painting that Easel makes now."""
        return kit.HttpRequest(method="POST", path="v1/interrupt")

    def check(self) -> kit.HttpRequest:
        """Return a request that is free."""
        return kit.HttpRequest(path="v1/models")

    def error(self, response: kit.HttpResponse) -> kit.ImagenError | None:
        """Return None: the usual error of the status fits."""
        return None


adapter = kit.http_adapter(
    Easel,
    summary="Easel paintings on your own machine, by an imaginary program.",
    base_url="http://127.0.0.1:7870",
    key_env="EASEL_LOGIN",
    credentials=kit.basic_auth,
    needs_key=False,
)

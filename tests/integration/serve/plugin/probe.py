"""A mock for the server tests, in one process (`single`) or in several (`many`).

A prompt `wait for NAME` takes until the working folder has a file NAME. The prompts
`odd`, `exit`, `dead` and `survived` fail in their own ways, and so do the capabilities
while there is a file `stop`, `exit`, `crash` or `lost`. The prompt `three at once`
makes two images more than requested, `a drawing` an SVG with a script. Each image
records the process that made it.

`sketch` is a mock that takes reference images, a mask and any parameter. Each of its
images records the job, so that a test sees what the backend was asked.
"""

import os
import time
from pathlib import Path

import msgspec

from imagen.adapters.backends.mock.adapter import MockOptions
from imagen.adapters.backends.mock.adapter import create as create_mock
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Misconfigured
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend
from imagen.ports.job_context import JobContext

DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
WAIT = "wait for "


class OddError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, *, other: str) -> None:
        super().__init__(f"{one} and {other}")


class Probe:
    def __init__(self, mock: ImageBackend) -> None:
        self._mock = mock

    def capabilities(self) -> Capabilities:
        if Path("stop").exists():
            raise StopIteration
        if Path("exit").exists():
            raise SystemExit(3)
        if Path("crash").exists():
            os._exit(9)
        if Path("lost").exists():
            raise Misconfigured("/models is not there")
        return self._mock.capabilities()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        match job.prompt:
            case "odd":
                raise OddError("this", other="that")
            case "exit":
                raise SystemExit(3)
            case "dead":
                os._exit(7)
            case "survived":
                if os.fork() == 0:
                    time.sleep(30)
                os._exit(8)
        if job.prompt.startswith(WAIT):
            context.progress(0.1, "waiting")
            while not Path(job.prompt.removeprefix(WAIT)).exists():
                context.sleep(0.02)
        made = self._mock.generate(job, context)
        if job.prompt == "a drawing":
            svg = GeneratedImage(content=DRAWING, media_type="image/svg+xml")
            made = msgspec.structs.replace(made, images=(svg,))
        if job.prompt == "three at once":
            made = msgspec.structs.replace(made, images=made.images * 3)
        return msgspec.structs.replace(made, parameters={"pid": os.getpid()})


class Sketch:
    """A mock that takes everything and records the job in the sidecar."""

    def __init__(self, mock: ImageBackend) -> None:
        self._mock = mock

    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(
            self._mock.capabilities(), references=16, mask=True, parameters=None
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        made = self._mock.generate(
            msgspec.structs.replace(job, images=(), mask=None, options={}), context
        )
        asked = {
            "prompt": job.prompt,
            "size": str(job.size),
            "steps": job.steps,
            "options": dict(job.options),
            "images": [image.sha256 for image in job.images],
            "mask": job.mask and job.mask.sha256,
        }
        return msgspec.structs.replace(made, parameters=asked)


class Learner(Sketch):
    """A sketch that knows what it supports only after it was asked for a model."""

    def capabilities(self) -> Capabilities:
        return Capabilities(may_cost=False)

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        del model, context
        return super().capabilities()


def create_learner(options: MockOptions, context: BackendContext) -> ImageBackend:
    return Learner(create_mock(options, context))


def create_sketch(options: MockOptions, context: BackendContext) -> ImageBackend:
    return Sketch(create_mock(options, context))


def create(options: MockOptions, context: BackendContext) -> ImageBackend:
    with Path("created").open("a", encoding="utf-8") as log:
        print(os.getpid(), file=log)
    return Probe(create_mock(options, context))


single = Adapter(summary="In one process.", options=MockOptions, create=create)
many = Adapter(
    summary="In several.", options=MockOptions, create=create, multiprocess=True
)
sketch = Adapter(
    summary="Records its jobs.",
    options=MockOptions,
    create=create_sketch,
    multiprocess=True,
)
learner = Adapter(
    summary="Learns.", options=MockOptions, create=create_learner, multiprocess=True
)

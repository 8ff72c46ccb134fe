"""A backend for that upstream, with the HTTP client of the built-in adapters."""

import msgspec

from imagen.adapters.remote.client import build_client
from imagen.domain.capabilities import Capabilities
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import Size, SizeRule
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend
from imagen.ports.job_context import JobContext


class Options(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    paid: bool = False


class _Datum(msgspec.Struct):
    b64_json: bytes


class _Answer(msgspec.Struct):
    data: list[_Datum]


class Instant:
    def __init__(self, options: Options) -> None:
        self._paid = options.paid
        self._client = build_client(options.base_url, timeout=600)
        self._answer = msgspec.json.Decoder(_Answer)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            model="instant",
            sizes=SizeRule(choices=(Size(57, 57),)),
            largest_seed=2**31 - 1,
            may_cost=self._paid,
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        del context
        asked = msgspec.json.encode({"prompt": job.prompt, "model": "instant"})
        answer = self._client.post("/v1/images/generations", content=asked)
        [datum] = self._answer.decode(answer.content).data
        image = GeneratedImage(content=datum.b64_json, media_type="image/png")
        return Generated(images=(image,), model="instant", cost=FREE)

    def close(self) -> None:
        self._client.close()


def create(options: Options, context: BackendContext) -> ImageBackend:
    del context
    return Instant(options)


adapter = Adapter(
    summary="For benchmarks.", options=Options, create=create, multiprocess=True
)

"""Sample calls, results, usage rows and history entries."""

from datetime import UTC, datetime, timedelta, timezone

from imagen.domain.call import Call, OutputTarget, Received
from imagen.domain.history import HistoryEntry
from imagen.domain.instance import Instance
from imagen.domain.job import GenerationPlan, ImageJob, ParameterReport
from imagen.domain.money.cost import Cost
from imagen.domain.naming import Destination
from imagen.domain.request import GenerationRequest
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.sidecar import Change, Sidecar
from imagen.domain.size import Size
from imagen.testing.samples import MONDAY, sample_id

# Quotes, percent signs, line ends and three scripts: what SQL and JSON must escape.
PROMPT = 'a fox, лиса, 狐; 100% "quoted"\nand a second line'
# File names on Linux are bytes of any encoding.
NON_UTF8_NAME = "no-utf-8-\udcff.png"
"""A file name that is not valid UTF-8, as Python decodes it."""


def sample_call(
    number: int = 1,
    *,
    backend: str = "flux",
    adapter: str = "replicate",
    caller: str = "writer",
    may_cost: bool = True,
    reserved: int | None = 40_000,
) -> Call:
    """Return a call for one image; a higher number is a later one."""
    at = MONDAY + timedelta(minutes=number)
    size = Size(width=1536, height=768)
    return Call(
        id=sample_id(number),
        created_at=at,
        plan=GenerationPlan(
            instance=Instance(name=backend, adapter=adapter),
            request=GenerationRequest(
                prompt=PROMPT, options={"lora": ["x", 0.5, None]}
            ),
            size=size,
            negative="",
            at=at.astimezone(timezone(timedelta(hours=2))),
            jobs=(
                # The largest seed of imagen, which does not fit a signed 64-bit
                # integer.
                ImageJob(
                    number=1, prompt=PROMPT, size=size, seed=2**64 - 1, timeout=600
                ),
            ),
            parameter_report=ParameterReport(
                adjusted={
                    "size": Change(requested="1537x768", used="1536x768", reason="")
                }
            ),
            may_cost=may_cost,
        ),
        target=OutputTarget(
            folder="/home/me/images", destination=Destination(name=NON_UTF8_NAME)
        ),
        image_ids=(sample_id(number + 1000),),
        caller=caller,
        may_cost=may_cost,
        reserved=reserved,
    )


def sample_received(content: bytes = b"\x89PNG \0\xff\r\n" * 9) -> Received:
    """Return the result of a call."""
    return Received(
        generated=Generated(
            images=(GeneratedImage(content=content, media_type="image/png", seed=7),),
            model="flux-dev",
            cost=Cost(micros=25_000, source="reported"),
            parameters={"guidance": 3.5, "nested": {"list": [1, None, "ä"]}},
        ),
        at=datetime(2026, 11, 16, 11, 31, tzinfo=timezone(timedelta(hours=2))),
        latency_ms=4321,
        observed=False,
    )


def sample_entry(
    number: int = 1,
    *,
    prompt: str = PROMPT,
    at: datetime | None = None,
    backend: str = "flux",
    model: str = "flux-dev",
    caller: str = "writer",
    image_id: str | None = None,
) -> HistoryEntry:
    """Return the history entry of an image; a higher number is a later one."""
    at = MONDAY + timedelta(minutes=number) if at is None else at
    written = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return HistoryEntry(
        location=f"/home/me/images/{number}-{NON_UTF8_NAME}",
        sidecar=Sidecar(
            id=sample_id(number) if image_id is None else image_id,
            usage_id=sample_id(number + 1000),
            created_at=written.replace("+00:00", "Z"),
            prompt=prompt,
            negative="",
            style=None,
            prompt_sent=prompt,
            prompt_sha256="ab" * 32,
            backend=backend,
            adapter="replicate",
            model=model,
            seed=2**64 - 1,
            steps=None,
            width=1536,
            height=768,
            requested_size="1536x768",
            mime_type="image/png",
            bytes=123_456,
            sha256="cd" * 32,
            source_sha256="ef" * 32,
            latency_ms=4321,
            cost_usd=0.025,
            cost_source="reported",
            caller=caller,
            parameters={"guidance": 3.5},
            adjusted={"size": Change(requested="1537x768", used="1536x768", reason="")},
            warnings=("size 1537x768 becomes 1536x768",),
            imagen_version="1.0",
        ),
    )

"""Jobs that the parts of `BackendContract` send, and facts about the results."""

from io import BytesIO

import msgspec
from PIL import Image

from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import ImageBackend


def small_job(backend: ImageBackend, **changes: object) -> ImageJob:
    """Return the smallest job that the backend accepts, with the given changes."""
    capabilities = backend.capabilities()
    largest_seed = capabilities.largest_seed
    job = ImageJob(
        number=1,
        prompt="a red square",
        size=small_sizes(backend)[0],
        seed=min(7, largest_seed) if largest_seed else None,
        model=capabilities.model,
        timeout=60,
    )
    return msgspec.structs.replace(job, **changes)


def full_job(backend: ImageBackend, **changes: object) -> ImageJob:
    """Return a job with every supported field set, different from `small_job`."""
    capabilities = backend.capabilities()
    largest_seed = capabilities.largest_seed
    models, formats = capabilities.models, capabilities.formats
    return small_job(
        backend,
        **{
            "prompt": "a blue circle",
            "size": small_sizes(backend)[-1],
            "negative": "squares" if capabilities.negative else "",
            "steps": 4 if capabilities.steps else None,
            "seed": min(8, largest_seed) if largest_seed else None,
            "media_type": formats[-1] if formats else None,
            "model": models[-1] if models else capabilities.model,
            **changes,
        },
    )


def different_jobs(backend: ImageBackend, count: int) -> list[ImageJob]:
    """Return jobs that differ in prompt, size and seed."""
    sizes, largest_seed = small_sizes(backend), backend.capabilities().largest_seed
    return [
        small_job(
            backend,
            prompt=f"a red square, number {number}",
            size=sizes[number % len(sizes)],
            seed=1 + number % largest_seed if largest_seed else None,
        )
        for number in range(count)
    ]


def small_sizes(backend: ImageBackend) -> list[Size]:
    """Return up to three small sizes that the backend supports, the smallest first."""
    rule = backend.capabilities().sizes
    candidates = rule.choices or (Size(64, 64), Size(192, 64), Size(64, 128))
    sizes = {rule.nearest(size) for size in candidates}
    return sorted(sizes, key=lambda size: (size.width * size.height, size))[:3]


def describe(generated: Generated) -> object:
    """Return the facts that must be equal when the same job is generated again."""
    images = [
        (image.media_type, image_size(image.content), image.seed)
        for image in generated.images
    ]
    return images, generated.model, generated.steps


def image_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height; None when the content is not an image."""
    try:
        facts = read_facts(content)
    except NotAnImage:
        return None
    return facts.width, facts.height


def image_type(content: bytes) -> str:
    """Return the media type according to the first bytes; the rest may be missing."""
    try:
        with Image.open(BytesIO(content)) as image:
            return Image.MIME[image.format or ""]
    except (OSError, KeyError):
        return f"not an image: {content[:32]!r}"


def find_damage(content: bytes) -> str | None:
    """Decode the whole image; return the error, or None when it is intact."""
    try:
        read_facts(content)
        with Image.open(BytesIO(content)) as image:
            image.load()
    except (NotAnImage, OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None

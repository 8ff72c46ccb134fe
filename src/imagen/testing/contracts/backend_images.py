"""The part of `BackendContract` about generated images, and the jobs that it sends."""

from collections.abc import Callable, Collection
from io import BytesIO

import msgspec
from PIL import Image

from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import abbreviate
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import RecordingContext


class ImagesContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

    @proves("generate: Make")
    def test_returns_whole_images(self, backend: ImageBackend, job: ImageJob) -> None:
        """Each image can be decoded completely."""
        generated = backend.generate(job, RecordingContext())

        damages = [find_damage(image.content) for image in generated.images]
        assert damages == [None for _ in generated.images], (
            "`content` is not a complete image file"
        )

    @proves("generate: Each has")
    def test_says_of_what_type_an_image_is(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The content of each image has the media type in `media_type`."""
        generated = backend.generate(job, RecordingContext())

        claimed = [image.media_type for image in generated.images]
        assert claimed == [image_type(image.content) for image in generated.images]

    @proves("generate: Make", cause="images that are decoded and encoded again")
    def test_returns_the_bytes_as_the_vendor_sent_them(
        self,
        backend: ImageBackend,
        job: ImageJob,
        sent_images: Callable[[], Collection[bytes]],
    ) -> None:
        """The content is the vendor's file, unchanged."""
        # The sidecar records the hash of the vendor's file, and re-encoding would drop
        # the metadata in it.
        generated = backend.generate(job, RecordingContext())

        returned = {abbreviate(image.content) for image in generated.images}
        assert returned <= {abbreviate(content) for content in sent_images()}, (
            "`content` differs from the file that the vendor sent; do not re-encode it"
        )

    @proves("generate: Returns")
    def test_returns_as_many_images_as_the_job_counts(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A call returns `job.count` images."""
        capabilities = backend.capabilities()
        # A backend that takes a seed gets one image per call: images differ by seed.
        counts = {1} if capabilities.largest_seed else {1, capabilities.largest_batch}

        for count in counts:
            several = msgspec.structs.replace(job, count=count)
            generated = backend.generate(several, RecordingContext())

            assert len(generated.images) == count

    @proves("generate: Each has")
    def test_makes_images_at_the_size_of_the_job(self, backend: ImageBackend) -> None:
        """Each image has the size of the job, which `Capabilities.sizes` allows."""
        for size in small_sizes(backend):
            generated = generate(backend, size=size)

            sizes = {image_size(image.content) for image in generated.images}
            assert sizes == {size.sides}, (
                "the image has another size; send the size, or correct "
                "`Capabilities.sizes`"
            )

    @proves("generate: Each has")
    def test_sends_its_first_format_unasked(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A job without a media type returns the first of the formats."""
        formats = backend.capabilities().formats
        generated = backend.generate(job, RecordingContext())

        assert {image_type(image.content) for image in generated.images} <= (
            {formats[0]} if formats else {image_type(generated.images[0].content)}
        ), "the default format must be the first of `Capabilities.formats`"

    @proves("generate: Each has")
    def test_sends_the_format_that_is_asked_for(self, backend: ImageBackend) -> None:
        """A job with a media type returns that format."""
        for media_type in backend.capabilities().formats[1:]:
            generated = generate(backend, media_type=media_type)

            types = {image_type(image.content) for image in generated.images}
            assert types == {media_type}

    @proves("generate: Sets")
    def test_claims_no_seed_but_the_one_of_the_job(self, backend: ImageBackend) -> None:
        """The seed of an image is that of the job or None, up to the largest seed."""
        # `imagen rerun` repeats an image with the seed in its sidecar.
        largest = backend.capabilities().largest_seed
        for seed in {1, largest} if largest else ():
            generated = generate(backend, seed=seed)

            assert {image.seed for image in generated.images} <= {seed, None}, (
                "the backend reports a seed that differs from the seed of the job"
            )

    @proves("generate: May assume")
    def test_takes_all_that_it_says_it_can(self, backend: ImageBackend) -> None:
        """A job with all supported fields succeeds, with each of the models."""
        capabilities = backend.capabilities()
        for model in capabilities.models or (capabilities.model,):
            job = full_job(backend, model=model)

            assert backend.generate(job, RecordingContext()).images

    @proves("generate: The prompt")
    def test_takes_words_in_any_script(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A prompt is any text: quotes, line ends, all scripts, a thousand words."""
        # Templates, format strings and shell commands misread some of these characters.
        prompt = (
            'Ein "Fuß",\n\u0434\u0432\u0430, 三隻貓 🐈\u200d⬛ \\ %s {prompt} $HOME '
            + "na " * 999
        )
        generated = backend.generate(
            msgspec.structs.replace(job, prompt=prompt), RecordingContext()
        )

        assert generated.images

    @proves("generate: The cost")
    def test_charges_nothing_negative(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A cost is at least 0; an unknown cost is None rather than 0."""
        # A negative cost would refill a budget, and a 0 for an unknown one would hide
        # it.
        check_cost(backend.generate(job, RecordingContext()).cost)

    @proves("generate: The cost")
    def test_charges_nothing_if_it_says_so(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A backend whose `may_cost` is false reports no cost."""
        cost = backend.generate(job, RecordingContext()).cost

        assert backend.capabilities().may_cost or not cost.micros, (
            "`Capabilities.may_cost` is false, but the backend reports a cost"
        )

    @proves("generate: Its `parameters`")
    def test_reports_parameters_that_can_be_written_down(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`Generated.parameters` can be encoded as JSON for the sidecar."""
        generated = backend.generate(job, RecordingContext())

        encoded = msgspec.json.encode(generated.parameters)
        assert msgspec.json.decode(encoded).keys() == generated.parameters.keys()


def check_cost(cost: Cost) -> None:
    """Fail if a cost is negative, or an unknown one is not None."""
    assert cost.micros is None or cost.micros >= 0
    assert (cost.micros is None) == (cost.source == "unknown"), (
        "a cost of None has the source `unknown`, and any other cost has another"
    )


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


def generate(backend: ImageBackend, **changes: object) -> Generated:
    """Send the smallest job, with the given changes."""
    return backend.generate(small_job(backend, **changes), RecordingContext())


def full_job(backend: ImageBackend, **changes: object) -> ImageJob:
    """Return a job with every supported field set, different from `small_job`."""
    capabilities = backend.capabilities()
    models, formats = capabilities.models, capabilities.formats
    largest_seed = capabilities.largest_seed
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
    candidates = rule.choices or (Size(64, 64), Size(200, 72), Size(64, 128))
    sizes = {rule.nearest(size) for size in candidates}
    return sorted(sizes, key=lambda size: (size.width * size.height, size))[:3]


def describe(generated: Generated) -> tuple[object, ...]:
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

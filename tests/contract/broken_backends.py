"""A correct backend and many faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

import asyncio
import os
import socket
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from tempfile import NamedTemporaryFile
from threading import Event, Thread, Timer
from typing import ClassVar

import msgspec
import pytest
from PIL import Image

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE, Cost
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import Size, SizeRule
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext
from imagen.testing import BackendContract, tiny_png
from imagen.testing.contracts import backend_lookup, backend_waiting

SECRET = "sk-canary-5e55e"
MINUTE = 60.0


class Vendor:
    """A simulated vendor in memory."""

    def __init__(self, trouble: type[ImagenError] | None, *, silent: bool) -> None:
        self.trouble = trouble
        self.silent = silent
        self.sent: list[bytes] = []
        self.cancelled: list[str] = []
        self.jobs: dict[str, tuple[datetime, ImageJob]] = {}
        self.numbers = count(1)

    def take(self, key: str) -> str:
        if key != SECRET:
            raise PermissionError("who are you?")
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise VendorError(trouble)
        return f"job-{next(self.numbers)}"

    def draw(self, size: Size, media_type: str) -> bytes:
        content = tiny_png(*size.sides)
        if media_type == "image/webp":
            buffer = BytesIO()
            with Image.open(BytesIO(content)) as picture:
                picture.save(buffer, "WEBP", lossless=True)
            content = buffer.getvalue()
        self.sent.append(content)
        return content


class VendorError(Exception):
    def __init__(self, kind: type[ImagenError]) -> None:
        super().__init__(kind.code)
        self.kind = kind


class Healthy:
    def __init__(
        self, trouble: type[ImagenError] | None = None, *, silent: bool = False
    ) -> None:
        self.vendor = Vendor(trouble, silent=silent)
        self.key = SECRET

    def capabilities(self) -> Capabilities:
        return Capabilities(
            model="plain",
            models=("plain", "fancy"),
            sizes=SizeRule(multiple=16, largest=1024),
            largest_seed=1000,
            negative=True,
            steps=True,
            formats=("image/png", "image/webp"),
            parameters={"mood": "cheerful or grave"},
        )

    def prepare(self) -> None:
        """Do nothing."""

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        if job.options.get("mood", "grave") not in {"cheerful", "grave"}:
            raise InvalidRequest("mood is cheerful or grave.")
        reference = self.submit(job)
        self.vendor.jobs[reference] = datetime.now(UTC), job
        context.accepted(reference)
        return self.stay(job, reference, context)

    def stay(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        try:
            self.wait(context)
        except Cancelled:
            self.cancel(reference)
            raise
        return self.answer(job)

    def submit(self, job: ImageJob) -> str:
        try:
            return self.vendor.take(self.key)
        except VendorError as error:
            raise self.translated(error) from error

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        if reference not in self.vendor.jobs:
            raise BackendError("There is no such drawing.")
        return self.stay(job, reference, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        context.sleep(0)
        return tuple(
            name
            for name, (moment, taken) in self.vendor.jobs.items()
            if moment >= since and taken == job
        )

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        context.sleep(0)
        if model not in {"", *(self.capabilities().models or ())}:
            raise InvalidRequest(f"There is no model {model}.")
        return self.capabilities()

    def translated(self, error: VendorError) -> Exception:
        return error.kind("The vendor says no.")

    def wait(self, context: JobContext) -> None:
        if self.vendor.silent:
            self.read_in_silence(context)
        for fraction in (0.0, 0.5, 1.0):
            context.progress(fraction, "drawing", steps=2)
            context.sleep(1)

    def read_in_silence(self, context: JobContext) -> None:
        broken_off = Event()
        context.on_cancel(broken_off.set)
        broken_off.wait(MINUTE)

    def cancel(self, reference: str) -> None:
        self.vendor.cancelled.append(reference)

    def answer(self, job: ImageJob) -> Generated:
        image = self.image(job)
        return Generated(
            images=(image,) * job.count,
            model=job.model,
            steps=job.steps,
            cost=Cost(micros=2500, source="reported"),
            parameters=dict(job.options),
        )

    def image(self, job: ImageJob) -> GeneratedImage:
        media_type = job.media_type or "image/png"
        content = self.vendor.draw(job.size, media_type)
        return GeneratedImage(content=content, media_type=media_type, seed=job.seed)

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        context.sleep(0)
        ready = self.vendor.trouble is None
        return (Readiness(name="the vendor", ready=ready),)

    def close(self) -> None:
        """Do nothing."""


class Staged(BackendContract):
    """The contract with all fixtures, for one backend class."""

    Made: ClassVar[type[Healthy]]
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def backend(self) -> ImageBackend:
        return self.Made()

    @pytest.fixture
    def secret(self) -> str:
        return SECRET

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def sent_images(self, backend: Healthy) -> Callable[[], Collection[bytes]]:
        return lambda: backend.vendor.sent

    @pytest.fixture
    def jobs_created(self, backend: Healthy) -> Callable[[], int]:
        return lambda: len(backend.vendor.jobs)

    @pytest.fixture
    def refusing_backend(self) -> ImageBackend:
        return self.Made(Refused)

    @pytest.fixture
    def throttled_backend(self) -> ImageBackend:
        return self.Made(Throttled)

    @pytest.fixture
    def unavailable_backend(self) -> ImageBackend:
        return self.Made(Unavailable)

    @pytest.fixture
    def unauthorized_backend(self) -> ImageBackend:
        return self.Made(Unauthorized)

    @pytest.fixture
    def creditless_backend(self) -> ImageBackend:
        return self.Made(OutOfCredit)

    @pytest.fixture
    def failing_backend(self) -> ImageBackend:
        return self.Made(BackendError)

    @pytest.fixture
    def vanishing_backend(self) -> ImageBackend:
        return self.Made(Unfinished)

    @pytest.fixture
    def slow_backend(self) -> ImageBackend:
        return self.Made(silent=True)

    @pytest.fixture
    def cancelled_remotely(self, slow_backend: Healthy) -> Callable[[], bool]:
        return lambda: bool(slow_backend.vendor.cancelled)


class TestIsHealthy(Staged):
    Made = Healthy
    breaks: ClassVar[set[str]] = set()


class TestConnectsWhileItIsBuilt(Staged):
    class Made(Healthy):
        def __init__(
            self, trouble: type[ImagenError] | None = None, *, silent: bool = False
        ) -> None:
            super().__init__(trouble, silent=silent)
            _knock()

    breaks: ClassVar[set[str]] = {"test_is_built_without_network"}


class TestPrints(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            print("submitting")
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_prints_nothing"}


class TestLeavesAThread(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            Thread(target=Event().wait, args=[5], daemon=True).start()
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_leaves_no_thread"}


class TestReportsLater(Staged):
    class Made(Healthy):
        def stay(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
            generated = super().stay(job, reference, context)
            Timer(0.2, context.progress, [1.0]).start()
            return generated

    breaks: ClassVar[set[str]] = {"test_reports_nothing_after_it_returned"}


class TestLeavesAFile(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            with NamedTemporaryFile(delete=False) as file:
                file.write(b"an image")
            return super().answer(job)

    breaks: ClassVar[set[str]] = {"test_leaves_no_file"}


class TestReadsTheEnvironment(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            self.key = os.environ.get("VENDOR_KEY", self.key)
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_reads_no_environment_variable"}


class TestChangesTheEnvironment(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            os.environ["VENDOR_JOBS"] = f"{len(self.vendor.jobs)}"
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_changes_nothing_of_the_process"}


class TestSwallowsControlC(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            try:
                super().wait(context)
            except KeyboardInterrupt as error:
                raise BackendError("It was interrupted.") from error

    breaks: ClassVar[set[str]] = {"test_passes_a_keyboard_interrupt_on"}


class TestAsksTheVendorWhatItCan(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            _knock()
            return super().capabilities()

    breaks: ClassVar[set[str]] = {"test_says_what_it_can_without_network"}


class TestChangesItsCapabilities(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            seen = f"seen {len(self.vendor.sent)} images"
            return msgspec.structs.replace(
                super().capabilities(), parameters={"mood": seen}
            )

    breaks: ClassVar[set[str]] = {"test_says_the_same_of_itself_every_time"}


class TestUsesAModelThatItDoesNotOffer(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            return msgspec.structs.replace(super().capabilities(), model="secret")

    breaks: ClassVar[set[str]] = {"test_offers_its_own_model"}


class TestNamesFormatsByExtension(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            return msgspec.structs.replace(super().capabilities(), formats=("png",))

        def image(self, job: ImageJob) -> GeneratedImage:
            return super().image(msgspec.structs.replace(job, media_type=None))

    breaks: ClassVar[set[str]] = {
        "test_names_formats_by_media_type",
        "test_sends_its_first_format_unasked",
    }


class TestTakesSeedsBelowOne(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            return msgspec.structs.replace(super().capabilities(), largest_seed=-1)

    breaks: ClassVar[set[str]] = {"test_draws_sensible_limits"}


class TestReturnsAPageOfHtml(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            page = b"<!doctype html><title>Bad Gateway</title>"
            self.vendor.sent.append(page)
            return GeneratedImage(content=page, media_type="image/png")

    breaks: ClassVar[set[str]] = {
        "test_returns_whole_images",
        "test_says_of_what_type_an_image_is",
        "test_makes_images_at_the_size_of_the_job",
        "test_sends_its_first_format_unasked",
        "test_sends_the_format_that_is_asked_for",
    }


class TestReturnsHalfAnImage(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            image = super().image(job)
            if image.media_type != "image/png":
                return image
            half = image.content[: len(image.content) // 2]
            self.vendor.sent.append(half)
            return msgspec.structs.replace(image, content=half)

    breaks: ClassVar[set[str]] = {
        "test_returns_whole_images",
        "test_makes_images_at_the_size_of_the_job",  # its size cannot be read
    }


class TestReturnsGarbledPixels(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            image = super().image(job)
            if image.media_type != "image/png":
                return image
            garbled = _garbled(image.content)
            self.vendor.sent.append(garbled)
            return msgspec.structs.replace(image, content=garbled)

    breaks: ClassVar[set[str]] = {"test_returns_whole_images"}


class TestLiesAboutTheMediaType(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            return msgspec.structs.replace(super().image(job), media_type="image/jpeg")

    breaks: ClassVar[set[str]] = {"test_says_of_what_type_an_image_is"}


class TestReencodesTheBytes(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            image = super().image(job)
            buffer = BytesIO()
            with Image.open(BytesIO(image.content)) as picture:
                picture.save(buffer, image.media_type.removeprefix("image/"))
            return msgspec.structs.replace(image, content=buffer.getvalue() + b"\0")

    breaks: ClassVar[set[str]] = {"test_returns_the_bytes_as_the_vendor_sent_them"}


class TestReturnsTooManyImages(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            return super().answer(msgspec.structs.replace(job, count=job.count + 1))

    breaks: ClassVar[set[str]] = {"test_returns_as_many_images_as_the_job_counts"}


class TestForgetsTheRestOfABatch(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            return msgspec.structs.replace(
                super().capabilities(), largest_seed=None, largest_batch=4
            )

        def answer(self, job: ImageJob) -> Generated:
            return super().answer(msgspec.structs.replace(job, count=1))

    breaks: ClassVar[set[str]] = {"test_returns_as_many_images_as_the_job_counts"}


class TestLiesAboutTheSize(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            return super().image(msgspec.structs.replace(job, size=Size(64, 64)))

    breaks: ClassVar[set[str]] = {"test_makes_images_at_the_size_of_the_job"}


class TestSendsAnotherFormatUnasked(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            wanted = job.media_type or "image/webp"
            return super().image(msgspec.structs.replace(job, media_type=wanted))

    breaks: ClassVar[set[str]] = {"test_sends_its_first_format_unasked"}


class TestIgnoresTheFormat(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            return super().image(msgspec.structs.replace(job, media_type=None))

    breaks: ClassVar[set[str]] = {"test_sends_the_format_that_is_asked_for"}


class TestClaimsASeedOfItsOwn(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            return msgspec.structs.replace(super().image(job), seed=42)

    breaks: ClassVar[set[str]] = {"test_claims_no_seed_but_the_one_of_the_job"}


class TestCutsLargeSeeds(Staged):
    class Made(Healthy):
        def image(self, job: ImageJob) -> GeneratedImage:
            return msgspec.structs.replace(
                super().image(job), seed=(job.seed or 0) % 256
            )

    breaks: ClassVar[set[str]] = {"test_claims_no_seed_but_the_one_of_the_job"}


class TestDoesNotTakeAModelThatItOffers(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            if job.model == "fancy" and job.prompt == "a blue circle" and job.steps:
                raise BackendError("fancy has moved away.")
            return super().submit(job)

    breaks: ClassVar[set[str]] = {
        "test_takes_all_that_it_says_it_can",
        "test_keeps_nothing_from_one_job_to_the_next",
    }


class TestSpeaksOnlyAscii(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            job.prompt.encode("ascii")
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_takes_words_in_any_script"}


class TestChargesANegativeCost(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            refund = Cost(micros=-1, source="reported")
            return msgspec.structs.replace(super().answer(job), cost=refund)

    breaks: ClassVar[set[str]] = {"test_charges_nothing_negative"}


class TestCallsAnUnknownCostNothing(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            return msgspec.structs.replace(super().answer(job), cost=Cost(micros=0))

    breaks: ClassVar[set[str]] = {"test_charges_nothing_negative"}


class TestChargesForWhatIsFree(Staged):
    class Made(Healthy):
        def capabilities(self) -> Capabilities:
            return msgspec.structs.replace(super().capabilities(), may_cost=False)

    breaks: ClassVar[set[str]] = {"test_charges_nothing_if_it_says_so"}


class TestReportsWhatCannotBeWrittenDown(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            return msgspec.structs.replace(
                super().answer(job), parameters={"vendor": self.vendor}, cost=FREE
            )

    breaks: ClassVar[set[str]] = {"test_reports_parameters_that_can_be_written_down"}


class TestReportsThreeHundredPercent(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            super().wait(context)
            context.progress(3.0)

    breaks: ClassVar[set[str]] = {"test_reports_fractions_only"}


class TestReportsNotANumber(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            context.progress(float("nan"))
            super().wait(context)

    breaks: ClassVar[set[str]] = {"test_reports_fractions_only"}


class TestReportsStepsBack(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            super().wait(context)
            context.progress(0.1)

    breaks: ClassVar[set[str]] = {"test_reports_no_step_back"}


class TestCallsTheJobByManyNames(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            context.accepted("job-2")
            super().wait(context)

    breaks: ClassVar[set[str]] = {
        "test_calls_the_remote_job_by_one_name",
        "test_finds_the_jobs_that_it_took",
    }


class TestSleepsByItself(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            time.sleep(0.001)
            super().wait(context)

    breaks: ClassVar[set[str]] = {"test_waits_only_through_the_context"}


class TestSleepsInALoopOfEvents(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            asyncio.run(asyncio.sleep(0.001))
            super().wait(context)

    breaks: ClassVar[set[str]] = {"test_waits_only_through_the_context"}


class TestWaitsForAnEventOfItsOwn(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            Event().wait(0.05)
            super().wait(context)

    breaks: ClassVar[set[str]] = {"test_waits_only_through_the_context"}

    @pytest.fixture
    def patience(self) -> float:
        return 0.04


class TestSwallowsCancelled(Staged):
    class Made(Healthy):
        def wait(self, context: JobContext) -> None:
            try:
                super().wait(context)
            except Cancelled:
                return

    breaks: ClassVar[set[str]] = {
        "test_stops_when_a_wait_is_cancelled",
        "test_stops_while_the_vendor_is_silent",
        "test_cancels_the_remote_job",
        "test_stops_resuming_when_cancelled",
        "test_cancels_an_old_job",
    }


class TestTurnsCancelledIntoSomethingElse(Staged):
    class Made(Healthy):
        def generate(self, job: ImageJob, context: JobContext) -> Generated:
            try:
                return super().generate(job, context)
            except Cancelled as error:
                raise BackendError("It did not end well.") from error

    breaks: ClassVar[set[str]] = {
        "test_stops_when_a_wait_is_cancelled",
        "test_stops_while_the_vendor_is_silent",
    }


class TestDoesNotHearTheCancelling(Staged):
    class Made(Healthy):
        def read_in_silence(self, context: JobContext) -> None:
            Event().wait(MINUTE)

    breaks: ClassVar[set[str]] = {
        "test_stops_while_the_vendor_is_silent",
        "test_cancels_the_remote_job",
        "test_cancels_an_old_job",
    }

    @pytest.fixture(autouse=True)
    def impatience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # It never stops, so nothing is learned by waiting the whole two seconds.
        for part in (backend_lookup, backend_waiting):
            monkeypatch.setattr(part, "CANCEL_TIMEOUT", 0.1)


class TestLeavesTheRemoteJobRunning(Staged):
    class Made(Healthy):
        def cancel(self, reference: str) -> None:
            """Leave the remote job running."""

    breaks: ClassVar[set[str]] = {
        "test_cancels_the_remote_job",
        "test_cancels_an_old_job",
    }


class TestKeepsTheLastModel(Staged):
    class Made(Healthy):
        model = ""

        def answer(self, job: ImageJob) -> Generated:
            if job.model != "plain":
                self.model = job.model
            answer = super().answer(job)
            return msgspec.structs.replace(answer, model=self.model or job.model)

    breaks: ClassVar[set[str]] = {"test_keeps_nothing_from_one_job_to_the_next"}


class TestChangesTheJob(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            if isinstance(job.options, dict):
                job.options["mood"] = "grave"
            return super().submit(job)

    breaks: ClassVar[set[str]] = {"test_leaves_the_job_as_it_was"}


class TestMixesUpThreads(Staged):
    class Made(Healthy):
        def generate(self, job: ImageJob, context: JobContext) -> Generated:
            self.job = job
            return super().generate(job, context)

        def answer(self, job: ImageJob) -> Generated:
            return super().answer(self.job)

    breaks: ClassVar[set[str]] = {"test_works_for_several_threads_at_once"}


class TestSendsNonsense(Staged):
    class Made(Healthy):
        def generate(self, job: ImageJob, context: JobContext) -> Generated:
            return super().generate(msgspec.structs.replace(job, options={}), context)

    breaks: ClassVar[set[str]] = {"test_does_not_send_nonsense"}


class TestSwallowsARefusal(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            try:
                return super().submit(job)
            except Refused:
                return "a grey picture instead"

    breaks: ClassVar[set[str]] = {"test_says_refused"}


class TestAsksAgainByItself(Staged):
    class Made(Healthy):
        def submit(self, job: ImageJob) -> str:
            try:
                return super().submit(job)
            except (Throttled, Unavailable):
                return super().submit(job)

    breaks: ClassVar[set[str]] = {
        "test_says_throttled_instead_of_asking_again",
        "test_says_unavailable_instead_of_asking_again",
    }


class TestWantsToWaitForever(Staged):
    class Made(Healthy):
        def translated(self, error: VendorError) -> Exception:
            if error.kind is Throttled:
                return Throttled("Never again.", retry_after=float("nan"))
            return super().translated(error)

    breaks: ClassVar[set[str]] = {"test_says_throttled_instead_of_asking_again"}


class TestLetsAVendorsErrorOut(Staged):
    class Made(Healthy):
        def translated(self, error: VendorError) -> Exception:
            return error

    breaks: ClassVar[set[str]] = {
        "test_says_refused",
        "test_says_throttled_instead_of_asking_again",
        "test_says_unavailable_instead_of_asking_again",
        "test_says_unauthorized",
        "test_says_out_of_credit",
        "test_says_that_the_backend_failed",
        "test_says_that_a_fate_is_unknown",
    }


class TestCallsEveryTroubleAnOutage(Staged):
    class Made(Healthy):
        def translated(self, error: VendorError) -> Exception:
            return Unavailable("Something is wrong.")

    breaks: ClassVar[set[str]] = {
        "test_says_refused",
        "test_says_throttled_instead_of_asking_again",
        "test_says_unauthorized",
        "test_says_out_of_credit",
        "test_says_that_the_backend_failed",
        "test_says_that_a_fate_is_unknown",
    }


class TestShowsItsSecretInItsRepr(Staged):
    class Made(Healthy):
        def __repr__(self) -> str:
            return f"Backend(key={self.key!r})"

    breaks: ClassVar[set[str]] = {"test_does_not_show_its_secret"}


class TestShowsItsSecretInParameters(Staged):
    class Made(Healthy):
        def answer(self, job: ImageJob) -> Generated:
            url = f"https://vendor.example/1.png?key={self.key}"
            return msgspec.structs.replace(super().answer(job), parameters={"url": url})

    breaks: ClassVar[set[str]] = {"test_does_not_show_its_secret"}


class TestShowsItsSecretInAnError(Staged):
    class Made(Healthy):
        def translated(self, error: VendorError) -> Exception:
            return error.kind(f"The vendor does not like {self.key}.")

    breaks: ClassVar[set[str]] = {"test_shows_no_secret_in_an_error"}


class TestShowsItsSecretInWhatLedToAnError(Staged):
    class Made(Healthy):
        def translated(self, error: VendorError) -> Exception:
            error.add_note(f"GET https://vendor.example/?key={self.key}")
            return super().translated(error)

    breaks: ClassVar[set[str]] = {"test_shows_no_secret_in_an_error"}


class TestRaisesWhenChecked(Staged):
    class Made(Healthy):
        def check(self, context: JobContext) -> tuple[Readiness, ...]:
            self.vendor.take(self.key)
            return super().check(context)

    breaks: ClassVar[set[str]] = {"test_raises_nothing_when_checked"}


class TestIsNeverReady(Staged):
    class Made(Healthy):
        def check(self, context: JobContext) -> tuple[Readiness, ...]:
            context.sleep(0)
            return (Readiness(name="the weather", ready=False),)

    breaks: ClassVar[set[str]] = {"test_is_ready"}


class TestCannotStopChecking(Staged):
    class Made(Healthy):
        def check(self, context: JobContext) -> tuple[Readiness, ...]:
            try:
                return super().check(context)
            except Cancelled:
                return (Readiness(name="patience", ready=False),)

    breaks: ClassVar[set[str]] = {"test_stops_checking_when_cancelled"}


class TestPreparesOverTheNetwork(Staged):
    class Made(Healthy):
        def prepare(self) -> None:
            _knock()

    breaks: ClassVar[set[str]] = {"test_prepares_without_network"}


class TestCannotLetGo(Staged):
    class Made(Healthy):
        def close(self) -> None:
            raise VendorError(BackendError)

    breaks: ClassVar[set[str]] = {"test_lets_go_of_what_it_holds"}


class TestSaysSomethingElseOfAModelEveryTime(Staged):
    class Made(Healthy):
        looks = 0

        def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
            can = super().capabilities_of(model, context)
            self.looks += 1
            return msgspec.structs.replace(can, largest_seed=100 + self.looks)

    breaks: ClassVar[set[str]] = {"test_says_the_same_of_a_model_every_time"}


class TestPromisesSizesThatItDoesNotMake(Staged):
    class Made(Healthy):
        def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
            can = super().capabilities_of(model, context)
            return msgspec.structs.replace(can, sizes=SizeRule(choices=(Size(70, 70),)))

        def image(self, job: ImageJob) -> GeneratedImage:
            near = self.capabilities().sizes.nearest(job.size)
            return super().image(msgspec.structs.replace(job, size=near))

    breaks: ClassVar[set[str]] = {"test_keeps_what_it_says_of_a_model"}


class TestOrdersWhatItLooksUp(Staged):
    class Made(Healthy):
        def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
            can = super().capabilities_of(model, context)
            trial = ImageJob(number=1, prompt="a trial", size=Size(64, 64), timeout=60)
            self.generate(trial, context)
            return can

    breaks: ClassVar[set[str]] = {"test_looks_a_model_up_at_no_cost"}


class TestKnowsEveryModel(Staged):
    class Made(Healthy):
        def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
            return super().capabilities_of("", context)

    breaks: ClassVar[set[str]] = {"test_refuses_to_look_up_what_there_is_not"}


class TestCannotStopLookingUp(Staged):
    class Made(Healthy):
        def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
            try:
                return super().capabilities_of(model, context)
            except Cancelled:
                return self.capabilities()

    breaks: ClassVar[set[str]] = {"test_stops_looking_up_when_cancelled"}


class TestReturnsAnotherOldJob(Staged):
    class Made(Healthy):
        def resume(
            self, job: ImageJob, reference: str, context: JobContext
        ) -> Generated:
            other = msgspec.structs.replace(job, size=Size(80, 80))
            return super().resume(other, reference, context)

    breaks: ClassVar[set[str]] = {"test_returns_an_old_job_as_it_was"}


class TestOrdersAnOldJobAnew(Staged):
    class Made(Healthy):
        def resume(
            self, job: ImageJob, reference: str, context: JobContext
        ) -> Generated:
            if reference not in self.vendor.jobs:
                raise BackendError("There is no such drawing.")
            return self.generate(job, context)

    breaks: ClassVar[set[str]] = {"test_resumes_any_number_of_times_at_no_cost"}


class TestInventsAnOldJob(Staged):
    class Made(Healthy):
        def resume(
            self, job: ImageJob, reference: str, context: JobContext
        ) -> Generated:
            return self.stay(job, reference, context)

    breaks: ClassVar[set[str]] = {"test_says_that_an_old_job_is_gone"}


class TestLeavesAnOldJobRunning(Staged):
    class Made(Healthy):
        def resume(
            self, job: ImageJob, reference: str, context: JobContext
        ) -> Generated:
            if reference not in self.vendor.jobs:
                raise BackendError("There is no such drawing.")
            self.wait(context)
            return self.answer(job)

    breaks: ClassVar[set[str]] = {"test_cancels_an_old_job"}


class TestCannotStopResuming(Staged):
    class Made(Healthy):
        def resume(
            self, job: ImageJob, reference: str, context: JobContext
        ) -> Generated:
            try:
                return super().resume(job, reference, context)
            except Cancelled:
                return self.answer(job)

    breaks: ClassVar[set[str]] = {
        "test_stops_resuming_when_cancelled",
        "test_cancels_an_old_job",
    }


class TestFindsTheFirstOnly(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            return super().find(job, since=since, context=context)[:1]

    breaks: ClassVar[set[str]] = {"test_finds_the_jobs_that_it_took"}


class TestFindsTheNewestFirst(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            return super().find(job, since=since, context=context)[::-1]

    breaks: ClassVar[set[str]] = {"test_finds_the_jobs_that_it_took"}


class TestFindsWhatIsNearlyLikeIt(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            context.sleep(0)
            return tuple(
                name
                for name, (moment, taken) in self.vendor.jobs.items()
                if moment >= since and taken.seed == job.seed
            )

    breaks: ClassVar[set[str]] = {"test_finds_no_other_jobs"}


class TestFindsWhatIsOld(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            always = datetime(1970, 1, 1, tzinfo=UTC)
            return super().find(job, since=always, context=context)

    breaks: ClassVar[set[str]] = {"test_finds_no_jobs_from_before"}


class TestOrdersWhatItDoesNotFind(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            found = super().find(job, since=since, context=context)
            if not self.vendor.jobs:
                self.generate(job, context)
            return found

    breaks: ClassVar[set[str]] = {"test_searches_at_no_cost"}


class TestCannotStopSearching(Staged):
    class Made(Healthy):
        def find(
            self, job: ImageJob, *, since: datetime, context: JobContext
        ) -> tuple[str, ...]:
            try:
                return super().find(job, since=since, context=context)
            except Cancelled:
                return ()

    breaks: ClassVar[set[str]] = {"test_stops_searching_when_cancelled"}


def _knock() -> None:
    """Connect to a closed port of this machine."""
    with socket.socket() as knocking:
        knocking.settimeout(0.1)
        knocking.connect_ex(("127.0.0.1", 1))


def _garbled(png: bytes) -> bytes:
    """Return the PNG with random pixel data and valid checksums."""
    noise = b"IDAT" + bytes(range(64))
    checksum = zlib.crc32(noise).to_bytes(4)
    return png[:33] + (64).to_bytes(4) + noise + checksum + png[-12:]

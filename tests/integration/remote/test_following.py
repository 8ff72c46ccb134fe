"""An accepted job is followed until its files are here, or it stays open."""

import gzip
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from tests.integration.remote.server import Recorded, Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import KEY, Job, Pencil, PencilServer

import imagen.backend as kit
from imagen.adapters.remote import fetch
from imagen.domain.errors import ReferenceTaken
from imagen.testing import RecordingContext, tiny_png

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)
PAGE = Reply(content=b"<html>Sign in</html>", headers={"Content-Type": "text/html"})
PASSING = [
    *(Reply(status=status) for status in (404, 408, 410, 429, 500, 503, 520)),
    Reply(status=429, headers={"Retry-After": "3"}),
    Reply(status=429, headers={"Retry-After": "soon"}),
    Reply(status=302, headers={"Location": "/elsewhere"}),
    PAGE,
    Reply(content=b"{", headers={"Content-Type": "application/json"}),
    Reply(content=b""),
    Reply(dropped=True),
    Reply(content=b"{}", length=100),
]
"""Responses to a read that say nothing about the job."""


def name_of(reply: Reply) -> str:
    return f"{reply.status} {reply.content[:9]!r} {dict(reply.headers)} {reply.dropped}"


@pytest.mark.parametrize("reply", PASSING, ids=name_of)
def test_a_failed_poll_is_repeated(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, reply: Reply
) -> None:
    pencil.poll = [reply, json_reply({"id": "job-1", "state": "running"}), reply]
    context = RecordingContext()

    generated = connect(Pencil()).generate(JOB, context)

    assert generated.images[0].content == pencil.image
    assert context.references == ["job-1"]
    assert len(server.sent("POST", "/jobs")) == 1


class Named(Pencil):
    """Tells to which job a status belongs."""

    def status(self, job: kit.ImageJob, response: kit.HttpResponse) -> kit.JobStatus:
        reference = response.json(Job).id
        return msgspec.structs.replace(
            super().status(job, response), reference=reference
        )


@pytest.mark.parametrize("state", ["done", "failed", "running"])
@pytest.mark.parametrize("times", [1, 400])
def test_the_status_of_another_job_is_not_believed(
    connect: Connect, pencil: PencilServer, state: str, times: int
) -> None:
    other = json_reply(Job("job-2", state, ["data:,another"]))
    pencil.poll = [other] * times
    backend, context = connect(Named()), RecordingContext()
    if times > 1:
        with pytest.raises(kit.Unfinished, match="another job"):
            backend.generate(JOB, context)
        assert isinstance(backend, kit.ResumableBackend)
        with pytest.raises(kit.Unavailable, match="another job"):
            backend.resume(JOB, "job-1", context)
        pencil.poll = []
        generated = backend.resume(JOB, "job-1", context)
    else:
        generated = backend.generate(JOB, context)

    assert generated.images[0].content == pencil.image


def test_files_that_no_one_else_has_do_not_wait_for_figures(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    class Whole(Pencil):
        def submitted(self, job: kit.ImageJob, response: kit.HttpResponse) -> Any:
            output = kit.JobOutput(content=pencil.image)
            return kit.JobSucceeded(outputs=(output,), reference="job-1", final=False)

    generated = connect(Whole()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image
    assert server.sent("GET", "/jobs") == []


def test_an_image_in_hand_is_kept_though_its_id_belongs_to_another_job(
    connect: Connect, pencil: PencilServer
) -> None:
    class Whole(Pencil):
        def submitted(self, job: kit.ImageJob, response: kit.HttpResponse) -> Any:
            output = kit.JobOutput(content=pencil.image)
            return kit.JobSucceeded(outputs=(output,), reference="job-1")

    class Taken(RecordingContext):
        def accepted(self, reference: str) -> None:
            raise ReferenceTaken(f"{reference} belongs to another call.")

    generated = connect(Whole()).generate(JOB, Taken())

    assert generated.images[0].content == pencil.image


def test_a_job_whose_files_may_still_appear_is_polled_once_more(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    class Hesitant(Pencil):
        def status(
            self, job: kit.ImageJob, response: kit.HttpResponse
        ) -> kit.JobStatus:
            seen = super().status(job, response)
            if isinstance(seen, kit.JobFailed):
                return msgspec.structs.replace(seen, final=False)
            return seen

    failed = json_reply(Job("job-1", "failed"))
    pencil.poll = [failed]
    context = RecordingContext()

    assert connect(Hesitant()).generate(JOB, context).images
    assert max(context.waits) >= 1

    pencil.poll = [failed] * 400
    server.requests.clear()
    with pytest.raises(kit.BackendError, match="Pencil broke"):
        connect(Hesitant()).generate(JOB, RecordingContext())
    assert len(server.sent("GET", "/jobs")) == 2


@pytest.mark.parametrize("reply", [Reply(status=404), PAGE, Reply(dropped=True)])
def test_a_job_that_cannot_be_polled_stays_open(
    connect: Connect, pencil: PencilServer, reply: Reply
) -> None:
    pencil.poll = [reply] * 200
    context = RecordingContext()

    with pytest.raises(kit.Unfinished, match="job-1"):
        connect(Pencil()).generate(JOB, context)

    assert context.references == ["job-1"]
    assert sum(context.waits) > 30


def test_a_key_that_is_no_longer_valid_leaves_the_job_open(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.poll = [Reply(status=401)] * 200

    with pytest.raises(kit.Unfinished, match="credentials"):
        connect(Pencil()).generate(JOB, RecordingContext())


@pytest.mark.parametrize("state", ["failed", "busy"])
def test_a_failed_job_is_over_and_not_submitted_again(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, state: str
) -> None:
    pencil.ends = state

    with pytest.raises(kit.BackendError) as caught:
        connect(Pencil()).generate(JOB, RecordingContext())

    assert not caught.value.retryable
    assert len(server.sent("POST", "/jobs")) == 1


FILE_FAULTS = [
    *PASSING,
    Reply(status=401),
    Reply(status=403),
    Reply(content=b"not found", headers={"Content-Type": "text/plain"}),
    Reply(content=b'{"detail": "not yet"}', headers={"Content-Type": "image/png"}),
    Reply(content=tiny_png()[:-8], headers={"Content-Type": "image/png"}),
    Reply(content=tiny_png()[:40], length=9999),
]


TEXTS = [
    Reply(content=content, headers={"Content-Type": kind})
    for kind in ("image/png", "image/svg+xml", "application/octet-stream")
    for content in (
        b"<html>Sign in</html>",
        b"\xef\xbb\xbf<html>Sign in</html>",
        "<html>Sign in</html>".encode("utf-16"),
        b'["not", "yet"]',
        b"The image is not ready yet.",
    )
]


@pytest.mark.parametrize("reply", FILE_FAULTS, ids=name_of)
def test_a_file_that_is_delayed_is_downloaded_later(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, reply: Reply
) -> None:
    pencil.file = [reply, reply]

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image
    assert len(server.sent("POST", "/jobs")) == 1


@pytest.mark.parametrize("reply", FILE_FAULTS, ids=name_of)
def test_a_file_that_cannot_be_downloaded_leaves_the_job_open(
    connect: Connect, pencil: PencilServer, reply: Reply
) -> None:
    pencil.file = [reply] * 400
    backend, context = connect(Pencil()), RecordingContext()
    with suppress(kit.Unfinished):
        # Something else came instead, and is kept.
        generated = backend.generate(JOB, context)
        assert (generated.images, set(generated.delayed)) == ((), {0})
        received = generated.delayed[0].received
        assert received is not None
        assert received.content
        assert received.times > 1

    pencil.file = []
    assert isinstance(backend, kit.ResumableBackend)
    resumed = backend.resume(JOB, context.references[0], RecordingContext())

    assert resumed.images[0].content == pencil.image


@pytest.mark.parametrize("reply", [*TEXTS, Reply(content=b"", status=204)], ids=name_of)
def test_text_is_delayed_whatever_it_is_called(
    connect: Connect, pencil: PencilServer, reply: Reply
) -> None:
    pencil.file = [reply, reply]

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image


def test_a_file_is_deleted_only_when_its_time_is_over(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.file = [Reply(status=404)] * 400
    pencil.kept_until = datetime.now(UTC) - timedelta(minutes=1)

    with pytest.raises(kit.BackendError, match="deleted"):
        connect(Pencil()).generate(JOB, RecordingContext())


def test_all_files_are_returned(connect: Connect, pencil: PencilServer) -> None:
    pencil.urls = ["/files/1", "/files/2", "/files/3"]

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert len(generated.images) == 3


@pytest.mark.parametrize("delayed", [1, 2])
def test_one_file_that_is_delayed_is_fetched_later_and_the_others_are_here(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, delayed: int
) -> None:
    pencil.urls = ["/files/1", "/files/2"]
    server.answer = lambda request: (
        Reply(status=404) if request.path == f"/files/{delayed}" else pencil(request)
    )
    backend = connect(Pencil())

    generated = backend.generate(JOB, RecordingContext())

    assert [image.content for image in generated.images] == [pencil.image]
    assert set(generated.delayed) == {delayed - 1}
    server.answer = pencil
    assert isinstance(backend, kit.ResumableBackend)
    assert len(backend.resume(JOB, "job-1", RecordingContext()).images) == 2


def test_a_download_waits_as_long_as_it_was_told(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.file = [Reply(status=429, headers={"Retry-After": "9"})]
    context = RecordingContext()

    connect(Pencil()).generate(JOB, context)

    assert 9 in context.waits


@pytest.mark.parametrize("page", [1, 2])
def test_a_page_beside_the_image_is_delayed_after_a_short_wait(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, page: int
) -> None:
    pencil.urls = ["/files/1", "/files/2"]
    server.answer = lambda request: (
        PAGE if request.path == f"/files/{page}" else pencil(request)
    )
    context = RecordingContext()

    generated = connect(Pencil()).generate(JOB, context)

    assert [image.content for image in generated.images] == [pencil.image]
    assert set(generated.delayed) == {page - 1}
    assert sum(context.waits) < 10


def test_text_is_returned_when_the_time_of_the_file_is_over(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.file = [PAGE] * 400
    pencil.kept_until = datetime.now(UTC) - timedelta(minutes=1)

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == PAGE.content


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x.png",
        "https://[::ffff:10.0.0.1]/x.png",
        "http://192.0.2.1/x.png",
        "file:///etc/passwd",
        "https://user:word@example.org/x.png",
        "https://:0/x.png",
        "http://[::1/x.png",
    ],
)
def test_an_address_inside_a_network_is_not_requested(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, url: str
) -> None:
    pencil.urls = [url]

    with pytest.raises(kit.Unfinished):
        connect(Pencil()).generate(JOB, RecordingContext())


def test_a_redirect_inside_a_network_is_not_followed(
    connect: Connect, pencil: PencilServer
) -> None:
    inside = {"Location": "http://169.254.169.254/latest"}
    pencil.file = [Reply(status=302, headers=inside)] * 9

    with pytest.raises(kit.Unfinished, match="does not download"):
        connect(Pencil()).generate(JOB, RecordingContext())


def test_a_redirect_to_another_host_does_not_carry_the_key(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    def answer(request: Recorded) -> Reply:
        if request.path == "/files/1":
            return Reply(status=302, headers={"Location": "/files/2"})
        return pencil(request)

    server.answer = answer

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image
    assert server.sent("GET", "/files/1")[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_an_encoding_is_decoded_and_a_wrong_one_ignored(
    connect: Connect, pencil: PencilServer, compress: Callable[[bytes], bytes]
) -> None:
    content = compress(pencil.image)
    pencil.file = [Reply(content=content, headers={"Content-Encoding": "gzip"})] * 400

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image


def test_a_file_that_decodes_to_far_more_does_not_fill_the_memory(
    connect: Connect, pencil: PencilServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", 4 * 2**20)
    bomb = gzip.compress(bytes(128 * 2**20), 1)
    pencil.file = [Reply(content=bomb, headers={"Content-Encoding": "gzip"})] * 9
    backend, peak = connect(Pencil()), 0

    tracemalloc.start()
    try:
        with pytest.raises(kit.Unfinished, match="larger than 4 MB"):
            backend.generate(JOB, RecordingContext())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 * 2**20


def test_a_data_uri_needs_no_request(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.urls = ["data:image/svg+xml,%3Csvg/%3E"]

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == b"<svg/>"
    assert server.sent("GET", "/files/") == []


def test_an_unknown_job_may_belong_to_another_account(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.poll = [Reply(status=404)]
    backend = connect(Pencil())
    assert isinstance(backend, kit.ResumableBackend)

    with pytest.raises(kit.Unfinished, match="has no job job-9"):
        backend.resume(JOB, "job-9", RecordingContext())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_vendor_that_is_down_can_be_asked_again_later(
    connect: Connect, pencil: PencilServer, status: int
) -> None:
    pencil.poll = [Reply(status=status)]
    backend = connect(Pencil())
    assert isinstance(backend, kit.ResumableBackend)

    with pytest.raises((kit.Unavailable, kit.Throttled)):
        backend.resume(JOB, "job-1", RecordingContext())


@pytest.mark.parametrize("seconds", ["61", "86400", "9" * 400])
def test_a_resumed_job_does_not_wait_longer_than_an_outage(
    connect: Connect, pencil: PencilServer, seconds: str
) -> None:
    pencil.poll = [Reply(status=429, headers={"Retry-After": seconds})]
    backend = connect(Pencil())
    assert isinstance(backend, kit.ResumableBackend)

    with pytest.raises(kit.Unfinished, match="429"):
        backend.resume(JOB, "job-1", RecordingContext())


def test_progress_never_goes_back(connect: Connect, pencil: PencilServer) -> None:
    class Jumping(Pencil):
        fractions = iter([0.2, 7.0, 0.1, None, -1.0])

        def status(
            self, job: kit.ImageJob, response: kit.HttpResponse
        ) -> kit.JobStatus:
            for fraction in self.fractions:
                return kit.JobRunning(fraction=fraction)
            return super().status(job, response)

    context = RecordingContext()
    connect(Jumping()).generate(JOB, context)

    known = [fraction for fraction in context.fractions if fraction is not None]
    assert known == sorted(known)
    assert set(known) <= {0.2, 1.0}


def test_bytes_that_are_no_image_are_returned_unchanged(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.image = b"\0\0\0\x18ftypmp42" + sha256(b"video").digest()

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image
    assert generated.images[0].media_type == "application/octet-stream"


def test_a_byte_order_mark_before_json_is_ignored(
    connect: Connect, pencil: PencilServer
) -> None:
    usual = json_reply(Job("job-1", "done", ["data:,drawn"]))
    marked = msgspec.structs.replace(usual, content=b"\xef\xbb\xbf" + usual.content)
    pencil.poll = [marked] * 400

    generated = connect(Pencil()).generate(JOB, RecordingContext())

    assert generated.images[0].content == b"drawn"


def test_a_job_is_done_with_the_state_of_its_last_poll(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.poll = [json_reply(Job("job-1", "running"))] * 3

    assert connect(Pencil()).generate(JOB, RecordingContext()).images

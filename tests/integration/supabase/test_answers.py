"""Odd values get there, and odd answers are told apart; no error holds the key."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry
from tests.integration.supabase.project import SupabaseProject

from imagen.adapters.supabase.client import SupabaseAccess
from imagen.adapters.supabase.images import SupabaseCloud
from imagen.adapters.supabase.ledger import SupabaseLedger
from imagen.domain.cloud import CloudImage, build_cloud_image
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    Misconfigured,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
)
from imagen.domain.sidecar import Reference
from imagen.testing import tiny_png
from imagen.testing.samples import sample_row

Ask = Callable[[], object]


class Adapters:
    """Both adapters, and an image of somebody who may own some."""

    def __init__(self, project: SupabaseProject, key: str) -> None:
        access = SupabaseAccess(project.url, key)
        self.ledger, self.cloud = SupabaseLedger(access), SupabaseCloud(access)
        self.owner = project.user()

    def image(self, **said: Any) -> tuple[CloudImage, bytes]:
        content = tiny_png(8, 8)
        sidecar = msgspec.structs.replace(
            sample_entry().sidecar, sha256=sha256(content).hexdigest(), **said
        )
        return build_cloud_image(sidecar, owner=self.owner), content

    @property
    def asks(self) -> dict[str, Ask]:
        image, content = self.image()
        return {
            "deliver": lambda: self.ledger.deliver([sample_row()]),
            "rows": lambda: list(self.ledger.rows()),
            "totals": lambda: self.ledger.totals([]),
            "keep": lambda: self.cloud.upload(image, content),
            "find": lambda: list(self.cloud.find(self.owner)),
            "get": lambda: self.cloud.get(self.owner, image.sidecar.id),
            "fetch": lambda: self.cloud.download(image),
        }

    def failure(self, what: str) -> ImagenError:
        with pytest.raises(ImagenError) as failed:
            self.asks[what]()
        said = failed.value.message + failed.value.hint
        assert failed.value.message.endswith(".")
        assert len(said) < 700
        assert "sb_secret_" not in failed.value.message
        return failed.value

    def close(self) -> None:
        self.ledger.close()
        self.cloud.close()


ASKS = ("deliver", "rows", "totals", "keep", "find", "get", "fetch")


@pytest.fixture
def adapters(project: SupabaseProject) -> Iterator[Adapters]:
    adapters = Adapters(project, project.secret_key)
    yield adapters
    adapters.close()


def test_half_a_character_holds_up_nothing(adapters: Adapters) -> None:
    """Names of files on Linux may have some."""
    assert adapters.ledger.deliver([sample_row(model="no\udcff"), sample_row(2)]) == {}
    assert [row.model for row in adapters.ledger.rows()] == ["flux-dev", "no?"]

    odd = Reference(name="no\udcff.png", sha256="ab" * 32)
    image, content = adapters.image(references=(odd,), parameters={"x": float("nan")})
    adapters.cloud.upload(image, content)

    [kept] = adapters.cloud.find(adapters.owner)
    assert kept.sidecar.references[0].name == "no?.png"
    assert kept.sidecar.parameters == {"x": None}


def test_an_owner_may_be_written_in_capitals(adapters: Adapters) -> None:
    adapters.owner = adapters.owner.upper()
    image, content = adapters.image()
    adapters.cloud.upload(image, content)

    assert adapters.cloud.get(adapters.owner, image.sidecar.id) == image
    assert adapters.cloud.download(image) == content


def test_one_row_that_can_never_pass_is_found_among_many(adapters: Adapters) -> None:
    rows = [sample_row(number) for number in range(200)]
    odd = {
        7: msgspec.structs.replace(rows[7], model="flux\0"),
        8: msgspec.structs.replace(rows[8], images=2**40),
        150: msgspec.structs.replace(rows[150], id="no uuid"),
    }
    refused = adapters.ledger.deliver([odd.get(n, row) for n, row in enumerate(rows)])

    assert refused.keys() == {row.id for row in odd.values()}
    assert len(list(adapters.ledger.rows())) == 197


JSON = "application/json"
ANSWERS: list[tuple[str, dict[str, Any], type[ImagenError], str]] = [
    ("a page", {"status": 200}, Unavailable, "is not Supabase"),
    ("nothing", {"status": 204, "body": ""}, Unavailable, "is not Supabase"),
    (
        "elsewhere",
        {"status": 302, "headers": {"Location": "http://192.0.2.1/"}},
        Unavailable,
        "is not Supabase",
    ),
    (
        "no such route",
        {
            "status": 404,
            "body": '{"message": "no Route matched"}',
            "content_type": JSON,
        },
        Unavailable,
        "is not Supabase",
    ),
    ("not found", {"status": 404}, Unavailable, "is not Supabase"),
    ("too fast", {"status": 429, "body": "{}"}, Throttled, "is rate limiting requests"),
    ("broken", {"status": 500}, Unavailable, "is not available"),
    ("overloaded", {"status": 503}, Unavailable, "is not available"),
    (
        "a quota",
        {"status": 402, "body": '{"message": "over quota"}', "content_type": JSON},
        Unavailable,
        "over quota",
    ),
    (
        "a full disk",
        {
            "status": 405,
            "body": '{"code": "25006", "message": "It is read-only"}',
            "content_type": JSON,
        },
        Unavailable,
        "read-only",
    ),
    ("a wrong key", {"status": 401, "body": "{}"}, Unauthorized, "the key"),
    ("cut", {"cut": True}, Unavailable, "was not reached"),
]


@pytest.mark.parametrize(
    ("trouble", "kind", "says"),
    [answer[1:] for answer in ANSWERS],
    ids=[answer[0] for answer in ANSWERS],
)
def test_answers_that_are_not_what_was_asked_for(
    project: SupabaseProject,
    adapters: Adapters,
    trouble: dict[str, Any],
    kind: type[ImagenError],
    says: str,
) -> None:
    project.trouble("", **trouble)

    for what in ASKS:
        error = adapters.failure(what)
        assert (what, type(error)) == (what, kind)
        assert says in error.message


def test_a_page_on_the_way_of_the_bytes_leaves_no_row(
    project: SupabaseProject, adapters: Adapters
) -> None:
    project.trouble("/storage/v1", status=200)

    assert type(adapters.failure("keep")) is Unavailable
    project.calm()
    assert list(adapters.cloud.find(adapters.owner)) == []


def test_a_row_is_not_taken_for_delivered_because_something_says_200(
    project: SupabaseProject, adapters: Adapters
) -> None:
    for body in ("[]", "{}", "null"):
        project.trouble("/rest/v1", status=200, body=body, content_type=JSON, times=1)
        assert type(adapters.failure("deliver")) is Unavailable


def test_one_that_is_too_large_for_the_way_is_refused_alone(
    project: SupabaseProject, adapters: Adapters
) -> None:
    project.trouble("/rest/v1/imagen_usage", status=413, times=2)

    rows = [sample_row(1), sample_row(2)]
    refused = adapters.ledger.deliver(rows)

    assert refused.keys() == {rows[0].id}
    assert list(adapters.ledger.rows()) == [rows[1]]


def test_a_column_that_is_missing_is_no_fault_of_the_rows(
    project: SupabaseProject, adapters: Adapters
) -> None:
    project.change("alter table mai.imagen_usage drop column latency_ms")

    for what in ("deliver", "rows"):
        error = adapters.failure(what)
        assert type(error) is Misconfigured
        assert "Run 0001_" in error.hint


def test_a_file_that_is_gone_is_nobodys_network(adapters: Adapters) -> None:
    error = adapters.failure("fetch")

    assert isinstance(error, BackendError)
    assert not isinstance(error, Refused)


def test_a_server_that_repeats_the_key_is_not_quoted(project: SupabaseProject) -> None:
    adapters = Adapters(project, "sb_secret_" + "canary" * 2000)

    for what in ASKS:
        assert "canary" not in adapters.failure(what).message
    adapters.close()

"""The contracts of `SharedLedger` and `Cloud`."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.domain.cloud import CloudImage, build_cloud_image
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    Misconfigured,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
)
from imagen.domain.money.usage import UsageRow
from imagen.ports.cloud import Cloud
from imagen.ports.ledger import Ledger, SharedLedger
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.ledger import RowsContract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.fakes import tiny_png
from imagen.testing.samples import MONDAY, sample_id, sample_row

UNAVAILABLE = (Unavailable, Throttled)
MISCONFIGURED = (Unauthorized, Misconfigured)
ANOTHER_OWNER = "0b51de65-7a41-4d0c-9f9f-0f3b3d1c2a10"


class SharedLedgerContract(RowsContract, Contract):
    """The tests that every `SharedLedger` must pass, among them those of a `Ledger`.

    Override `shared`, and `another_shared`, `away` and `closed` as far as possible.
    """

    @pytest.fixture
    def shared(self) -> SharedLedger:
        """A ledger without rows."""
        raise NotImplementedError("Override the fixture `shared`.")

    @pytest.fixture
    def another_shared(self) -> SharedLedger:
        """A second instance on the same rows, as on another machine."""
        pytest.skip("the fixture `another_shared` is not provided")

    @pytest.fixture
    def away(self) -> SharedLedger:
        """A ledger that cannot be reached."""
        pytest.skip("the fixture `away` is not provided")

    @pytest.fixture
    def closed(self) -> SharedLedger:
        """A ledger that rejects the key."""
        pytest.skip("the fixture `closed` is not provided")

    @pytest.fixture
    def ledger(self, shared: SharedLedger) -> Ledger:
        """The same ledger with the methods of `Ledger`."""
        return _Recording(shared)

    @pytest.fixture
    def another(self, another_shared: SharedLedger) -> Ledger:
        """The second instance with the methods of `Ledger`."""
        return _Recording(another_shared)

    def test_takes_nothing(self, shared: SharedLedger) -> None:
        """Delivering no rows succeeds."""
        assert shared.deliver([]) == {}

    def test_tells_what_it_can_never_keep(self, shared: SharedLedger) -> None:
        """Invalid rows are reported with a reason, and all others are stored."""
        # One invalid row must not block the delivery of all others for ever.
        rows = [sample_row(number) for number in range(1, 9)]
        odd = [msgspec.structs.replace(rows[n], images=-1) for n in (0, 3, 4)]
        refused = shared.deliver([*odd, *(rows[n] for n in (1, 2, 5, 6, 7))])

        assert refused.keys() == {row.id for row in odd}
        assert all(10 < len(why) < 500 for why in refused.values())
        kept = [row.id for row in shared.rows()]
        assert kept == [rows[n].id for n in (7, 6, 5, 2, 1)]

    def test_yields_more_rows_than_an_answer_has(self, shared: SharedLedger) -> None:
        """Pagination drops no row, even among rows of the same moment."""
        # A Supabase response has at most 1,000 rows by default. Pages that are
        # separated by time alone lose rows of the same moment.
        at = MONDAY + timedelta(days=1)
        rows = [sample_row(number, at=at) for number in range(2_600)]
        for start in range(0, len(rows), 500):
            shared.deliver(rows[start : start + 500])

        assert [row.id for row in shared.rows()] == [row.id for row in rows[::-1]]

    def test_is_opened_again(self, shared: SharedLedger) -> None:
        """A ledger can be used after `close`."""
        for number in (1, 2):
            shared.deliver([sample_row(number)])
            shared.close()
            shared.close()

        assert list(shared.rows()) == [sample_row(2), sample_row(1)]

    @pytest.mark.parametrize("method", ["deliver", "rows", "totals"])
    def test_says_that_it_is_away(self, away: SharedLedger, method: str) -> None:
        """An unreachable ledger raises `Unavailable` or `Throttled`."""
        _check_error(_ledger_error(away, method), UNAVAILABLE)

    @pytest.mark.parametrize("method", ["deliver", "rows", "totals"])
    def test_says_that_it_is_closed(self, closed: SharedLedger, method: str) -> None:
        """A rejected key raises an error whose hint says what to do."""
        error = _ledger_error(closed, method)

        _check_error(error, MISCONFIGURED)
        assert error.hint


class CloudContract(Contract):
    """The tests that every `Cloud` must pass.

    Override `cloud` and `owner`, and `another`, `away` and `closed` as far as possible.
    """

    @pytest.fixture
    def cloud(self) -> Cloud:
        """A cloud without images."""
        raise NotImplementedError("Override the fixture `cloud`.")

    @pytest.fixture
    def owner(self) -> str:
        """The id of a user who can own images."""
        raise NotImplementedError("Override the fixture `owner` and return an id.")

    @pytest.fixture
    def another(self) -> Cloud:
        """A second instance on the same images, as on another machine."""
        pytest.skip("the fixture `another` is not provided")

    @pytest.fixture
    def away(self) -> Cloud:
        """A cloud that cannot be reached."""
        pytest.skip("the fixture `away` is not provided")

    @pytest.fixture
    def closed(self) -> Cloud:
        """A cloud that rejects the key."""
        pytest.skip("the fixture `closed` is not provided")

    def test_has_nothing_at_first(self, cloud: Cloud, owner: str) -> None:
        """An empty cloud finds nothing."""
        assert list(cloud.find(owner)) == []
        assert cloud.get(owner, sample_id(1)) is None

    def test_returns_what_is_kept(self, cloud: Cloud, owner: str) -> None:
        """An image comes back with its bytes and all fields."""
        image, content = _image(1, owner)
        cloud.upload(image, content)

        assert list(cloud.find(owner)) == [image]
        assert cloud.get(owner, image.sidecar.id) == image
        assert cloud.download(image) == content

    def test_keeps_an_image_once(self, cloud: Cloud, owner: str) -> None:
        """An image that is uploaded several times is stored once."""
        # An upload is repeated when its first response was lost.
        image, content = _image(1, owner)
        for _ in range(3):
            cloud.upload(image, content)

        assert list(cloud.find(owner)) == [image]
        assert cloud.download(image) == content

    def test_keeps_an_image_once_whoever_keeps_it(
        self, cloud: Cloud, another: Cloud, owner: str
    ) -> None:
        """Images that are uploaded at once are stored once each."""
        clouds = [cloud, another] * (CROWD // 2)

        def keep(number: int) -> None:
            clouds[number].upload(*_image(0, owner))
            clouds[number].upload(*_image(1 + number, owner))

        assert run_at_once(keep) == [None] * CROWD
        assert [image.sidecar.id for image in cloud.find(owner)] == [
            sample_id(number) for number in range(CROWD, -1, -1)
        ]

    def test_finds_the_newest_first(self, cloud: Cloud, owner: str) -> None:
        """Images are sorted by their creation, the newest first."""
        for number in (2, 3, 1):
            cloud.upload(*_image(number, owner))

        found = [image.sidecar.id for image in cloud.find(owner)]
        assert found == [sample_id(3), sample_id(2), sample_id(1)]
        assert len(list(cloud.find(owner, limit=2))) == 2
        assert list(cloud.find(owner, limit=0)) == []

    def test_shows_nobody_what_is_not_theirs(self, cloud: Cloud, owner: str) -> None:
        """An owner does not see the images of another."""
        image, content = _image(1, owner)
        cloud.upload(image, content)

        assert list(cloud.find(ANOTHER_OWNER)) == []
        assert cloud.get(ANOTHER_OWNER, image.sidecar.id) is None

    def test_gets_by_the_beginning_of_an_id(self, cloud: Cloud, owner: str) -> None:
        """A unique prefix of an id suffices; an ambiguous one is an error."""
        for number in (1, 0x11, 0x12):
            cloud.upload(*_image(number, owner))

        for name in (sample_id(1)[:9], sample_id(1).upper(), sample_id(1)[:20]):
            found = cloud.get(owner, name)
            assert found is not None
            assert found.sidecar.id == sample_id(1)
        for name in ("", "last", "fox", "019b", sample_id(2), f"{sample_id(1)}0", "%"):
            assert cloud.get(owner, name) is None
        with pytest.raises(InvalidRequest):
            cloud.get(owner, sample_id(0x11)[:7])

    def test_refuses_what_is_no_image(self, cloud: Cloud, owner: str) -> None:
        """A file that is not an image is `Refused`, and no row is added."""
        image, content = _image(1, owner)
        sidecar = msgspec.structs.replace(image.sidecar, mime_type="text/html")
        with pytest.raises(Refused) as refused:
            cloud.upload(msgspec.structs.replace(image, sidecar=sidecar), content)

        assert 5 < len(refused.value.message) < 500
        assert list(cloud.find(owner)) == []

    def test_returns_nothing_else(self, cloud: Cloud, owner: str) -> None:
        """A missing copy, or one with another hash, is a BackendError."""
        # A copy that was overwritten must not pass as the original image.
        image, _ = _image(1, owner)
        cloud.upload(image, b"\x89PNG of something else")

        with pytest.raises(BackendError):
            cloud.download(image)
        with pytest.raises(BackendError):
            cloud.download(_image(2, owner)[0])

    def test_is_opened_again(self, cloud: Cloud, owner: str) -> None:
        """A cloud can be used after `close`."""
        image, content = _image(1, owner)
        cloud.upload(image, content)
        for _ in range(2):
            cloud.close()
            cloud.close()

            assert list(cloud.find(owner)) == [image]
            assert cloud.download(image) == content

    @pytest.mark.parametrize("method", ["upload", "find", "get", "download"])
    def test_says_that_it_is_away(self, away: Cloud, owner: str, method: str) -> None:
        """An unreachable cloud raises `Unavailable` or `Throttled`."""
        _check_error(_cloud_error(away, owner, method), UNAVAILABLE)

    @pytest.mark.parametrize("method", ["upload", "find", "get"])
    def test_says_that_it_is_closed(
        self, closed: Cloud, owner: str, method: str
    ) -> None:
        """A rejected key raises an error whose hint says what to do."""
        error = _cloud_error(closed, owner, method)

        _check_error(error, MISCONFIGURED)
        assert error.hint


class _Recording:
    """A shared ledger with the methods of `Ledger`."""

    def __init__(self, shared: SharedLedger) -> None:
        self._shared = shared
        self.rows, self.totals = shared.rows, shared.totals

    def record(self, rows: Sequence[UsageRow]) -> None:
        assert self._shared.deliver(rows) == {}


def _ledger_error(ledger: SharedLedger, method: str) -> ImagenError:
    calls: dict[str, Callable[[], object]] = {
        "deliver": lambda: ledger.deliver([sample_row()]),
        "rows": lambda: list(ledger.rows()),
        "totals": lambda: ledger.totals(["week"]),
    }
    with pytest.raises(ImagenError) as failed:
        calls[method]()
    return failed.value


def _cloud_error(cloud: Cloud, owner: str, method: str) -> ImagenError:
    image, content = _image(1, owner)
    calls: dict[str, Callable[[], object]] = {
        "upload": lambda: cloud.upload(image, content),
        "find": lambda: list(cloud.find(owner)),
        "get": lambda: cloud.get(owner, image.sidecar.id),
        "download": lambda: cloud.download(image),
    }
    with pytest.raises(ImagenError) as failed:
        calls[method]()
    return failed.value


def _check_error(error: ImagenError, kinds: tuple[type[ImagenError], ...]) -> None:
    assert isinstance(error, kinds)
    assert error.message.endswith(".")
    assert 10 < len(error.message) < 500


def _image(number: int, owner: str) -> tuple[CloudImage, bytes]:
    content = tiny_png(8, 8) + b"%d" % number
    sidecar = msgspec.structs.replace(
        sample_entry(number).sidecar,
        sha256=sha256(content).hexdigest(),
        bytes=len(content),
    )
    return build_cloud_image(sidecar, owner=owner), content

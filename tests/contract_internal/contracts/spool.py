"""The contract of every `Spool`."""

from collections.abc import Callable

import pytest

from imagen.domain.errors import JournalError
from imagen.ports.spool import Spool
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import sample_id


class SpoolContract(Contract):
    """Override `spool`; `another_spool` and `broken_spool` if they can be staged."""

    @pytest.fixture
    def spool(self) -> Spool:
        """An empty spool."""
        raise NotImplementedError("Override the fixture `spool` to return yours.")

    @pytest.fixture
    def another_spool(self) -> Spool:
        """A second instance over the same files, as another process would have."""
        pytest.skip("`another_spool` is not overridden")

    @pytest.fixture
    def broken_spool(self) -> Spool:
        """A spool that can be neither read nor written."""
        pytest.skip("`broken_spool` is not overridden")

    def test_returns_the_bytes_unchanged(self, spool: Spool) -> None:
        """The bytes that were written last are read; an unknown id has none."""
        spool.write(sample_id(1), b"first")
        spool.write(sample_id(1), b"\x89PNG" * 100_000)
        spool.write(sample_id(2), b"other")

        assert spool.read(sample_id(1)) == b"\x89PNG" * 100_000
        assert spool.read(sample_id(2)) == b"other"
        assert spool.read(sample_id(3)) is None

    def test_discards_bytes(self, spool: Spool) -> None:
        """Exactly the bytes of the given ids are deleted; unknown ids are ignored."""
        for number in (1, 2, 3):
            spool.write(sample_id(number), b"content")
        spool.discard([sample_id(2), sample_id(3), sample_id(9)])

        read = [spool.read(sample_id(number)) for number in (1, 2, 3)]
        assert read == [b"content", None, None]

    def test_shares_bytes_between_instances(
        self, spool: Spool, another_spool: Spool
    ) -> None:
        """Another instance reads and discards what this one has written."""
        spool.write(sample_id(1), b"content")
        assert another_spool.read(sample_id(1)) == b"content"

        another_spool.discard([sample_id(1)])
        assert spool.read(sample_id(1)) is None

    def test_is_written_by_many_threads(self, spool: Spool) -> None:
        """Writers of one id do not mix their bytes."""
        contents = [b"%d" % number * 100_000 for number in range(CROWD)]

        def write(number: int) -> None:
            spool.write(sample_id(1), contents[number])

        assert run_at_once(write) == [None] * CROWD
        assert spool.read(sample_id(1)) in contents

    @pytest.mark.parametrize("do", ["write", "read"])
    def test_reports_what_is_wrong(self, broken_spool: Spool, do: str) -> None:
        """A failed write or read is a `JournalError` with a short message."""
        calls: dict[str, Callable[[], object]] = {
            "write": lambda: broken_spool.write(sample_id(1), b"content"),
            "read": lambda: broken_spool.read(sample_id(1)),
        }
        with pytest.raises(JournalError) as raised:
            calls[do]()

        assert 10 < len(raised.value.message) < 500

    def test_ignores_errors_when_it_discards(self, broken_spool: Spool) -> None:
        """An error while deleting is ignored."""
        broken_spool.discard([sample_id(1)])

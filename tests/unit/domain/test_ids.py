from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from imagen.adapters.system.random import random_int
from imagen.domain.ids import derive_id, new_id

moments = st.integers(0, 10**12).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


@given(moments, st.integers(0, 2**62 - 1))
def test_is_a_uuid_of_version_7(at: datetime, rolled: int) -> None:
    made = new_id(at, lambda bound: rolled % bound)

    assert str(UUID(made)) == made
    assert UUID(made).version == 7
    assert UUID(made).variant == RFC_4122


@given(moments)
def test_sorts_by_time_to_the_millisecond(at: datetime) -> None:
    later = at + timedelta(milliseconds=2)

    assert new_id(at, lambda bound: bound - 1) < new_id(later, lambda _: 0)


def test_holds_the_milliseconds_since_1970() -> None:
    at = datetime(2026, 5, 8, 14, 30, 15, 250_000, tzinfo=UTC)

    made = new_id(at, random_int)

    assert int(made.replace("-", "")[:12], 16) == round(at.timestamp() * 1000)


def test_two_of_the_same_moment_differ() -> None:
    at = datetime(2026, 5, 8, tzinfo=UTC)

    assert len({new_id(at, random_int) for _ in range(1000)}) == 1000


@given(moments, st.integers(0, 9))
def test_a_derived_id_is_the_same_in_every_process(at: datetime, position: int) -> None:
    made = derive_id("call", created_at=at, position=position)

    assert made == derive_id("call", created_at=at, position=position)
    assert made != derive_id("call", created_at=at, position=position + 1)
    assert (UUID(made).version, UUID(made).variant) == (7, RFC_4122)
    assert made[:13] == new_id(at, lambda _: 0)[:13]

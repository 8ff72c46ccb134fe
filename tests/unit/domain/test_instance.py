import pytest

from imagen.domain.errors import InvalidRequest
from imagen.domain.instance import Instance


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("steps", -1),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("concurrency", 0),
    ],
)
def test_names_the_key_that_is_wrong(field: str, wrong: float) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field} "):
        Instance(name="x", adapter="mock", **{field: wrong})  # type: ignore[arg-type]

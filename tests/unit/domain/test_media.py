import pytest

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import EXTENSIONS, WRITABLE, guess_media_type


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("x.png", "image/png"),
        ("x.PNG", "image/png"),
        ("x.jpg", "image/jpeg"),
        ("x.JPeG", "image/jpeg"),
        ("x.y.webp", "image/webp"),
    ],
)
def test_the_extension_decides(name: str, media_type: str) -> None:
    assert guess_media_type(name) == media_type


@pytest.mark.parametrize(
    "name", ["", "x", "x.", "x.gif", "x.avif", "x.svg", "x.png.txt", ".png"]
)
def test_refuses_other_extensions(name: str) -> None:
    with pytest.raises(
        InvalidRequest, match=r"is not supported|has no extension"
    ) as refused:
        guess_media_type(name)

    assert ".webp" in refused.value.hint


def test_what_can_be_written_has_a_name() -> None:
    assert set(WRITABLE.values()) <= set(EXTENSIONS)

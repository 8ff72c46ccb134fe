"""A manifest is valid for the file that was signed, and for no other."""

import sys

import pytest
from tests.unit.adapters.signing import signed

from imagen.adapters.imaging.c2pa import check_content_credentials
from imagen.domain.metadata.writer import strip_metadata
from imagen.formats.container import read_facts
from imagen.testing.fakes import tiny_png

TYPES = ["image/png", "image/jpeg", "image/webp"]


@pytest.mark.parametrize("media_type", TYPES)
def test_a_signed_file_fits_until_a_byte_changes(media_type: str) -> None:
    content = signed(media_type)

    found = check_content_credentials(content, media_type)

    assert read_facts(content).signed
    assert (found.fits, found.trusted, found.failures) == (True, None, ())
    assert "A Signer" in found.signed_by
    assert found.made_with.startswith("a camera 1")
    assert "trust" in found.note

    longer = check_content_credentials(content + b"x", media_type)

    assert longer.fits is False
    assert "assertion.dataHash.mismatch" in longer.failures


@pytest.mark.parametrize("media_type", TYPES)
def test_a_stripped_copy_has_no_manifest_left(media_type: str) -> None:
    assert not read_facts(strip_metadata(signed(media_type))).signed


def test_a_broken_manifest_is_not_checked_and_says_so() -> None:
    content = signed("image/png")
    at = content.index(b"jumb")
    broken = content[:at] + b"XXXX" + content[at + 4 :]

    found = check_content_credentials(broken, "image/png")

    assert found.fits is not True
    assert found.note or found.failures


def test_nothing_is_checked_where_there_is_no_manifest() -> None:
    assert check_content_credentials(tiny_png(), "image/png").fits is None


def test_without_the_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)

    found = check_content_credentials(b"", "image/png")

    assert found.fits is None
    assert "imagen-studio[c2pa]" in found.note

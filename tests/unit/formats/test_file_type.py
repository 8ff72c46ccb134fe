import pytest

from imagen.formats.file_type import guess_file_type


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"GIF89a", "gif"),
        (b"RIFF\0\0\0\0WEBP", "webp"),
        (b"RIFF\0\0\0\0WAVE", "wav"),
        (b"\0\0\0\x20ftypavif", "avif"),
        (b"\0\0\0\x20ftypheic", "heic"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\x1a\x45\xdf\xa3", "webm"),
        (b"glTF\2\0\0\0", "glb"),
        (b"II*\0", "tiff"),
        (b"PK\3\4", "zip"),
        (b"<!doctype html><p>", "html"),
        (b"\xef\xbb\xbf\n<HTML>", "html"),
        (b'{"error": "no"}', "json"),
        (b'<?xml version="1.0"?><Error/>', "xml"),
        (b'<?xml version="1.0"?><svg>', "svg"),
        (b"not found", "txt"),
        ("<html>é".encode("utf-16"), "html"),
        (b"\xfe\xff" + '{"detail": 1}'.encode("utf-16-be"), "json"),
        (b"\xff\xfe\0\xdc", "bin"),
        ("ü".encode() * 5000, "txt"),
        (b"a" * 4095 + "ü".encode(), "txt"),
        ("ü".encode("latin-1") * 9, "bin"),
        (b"text\0", "bin"),
        (bytes(range(256)), "bin"),
        (b"", "txt"),
    ],
)
def test_guesses_the_extension(content: bytes, extension: str) -> None:
    assert guess_file_type(content)[1] == extension

import pytest
from hypothesis import given
from tests.unit.domain.notes import sentences

from imagen.formats.xmp import build_xmp_packet, find_xmp_property


@given(sentences)
def test_reads_back_what_it_writes(words: str) -> None:
    packet = build_xmp_packet({"imagen:note": words})

    allowed = "".join(c if c in "\t\n\r" or c >= " " else "\ufffd" for c in words)
    allowed = allowed.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    assert find_xmp_property(packet, "imagen:note") == allowed


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ("<imagen:note>a</imagen:note>", "a"),
        ("<imagen:note x='1' >a</imagen:note>", "a"),
        ("<imagen:note>\n a\n</imagen:note>", "\n a\n"),
        ("<r imagen:note='a'/>", "a"),
        ('<r x="1"\n imagen:note = "a" />', "a"),
        ('<imagen:note rdf:resource="a"/>', "a"),
        (
            "<imagen:note>&lt;&#65;&#x42;&amp;amp;&quot;&apos;</imagen:note>",
            "<AB&amp;\"'",
        ),
        ("<imagen:note>&#xD800;&#x110000;&none;</imagen:note>", "\ufffd\ufffd&none;"),
        ("<imagen:notes>a</imagen:notes>", ""),
        ("<imagen:note/>b<c>", ""),
        ("<imagen:note>a", ""),
        ("<imagen:note", ""),
        (" imagen:note='a", ""),
        ("", ""),
    ],
)
def test_finds_a_property(packet: str, words: str) -> None:
    assert find_xmp_property(packet, "imagen:note") == words


def test_expands_nothing() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><imagen:note>&c;</x>'

    assert find_xmp_property(bomb, "imagen:note") == "&c;"

"""XMP packets: writing, and reading single properties (ISO 16684-1, IPTC 2025.1)."""

import re
from collections.abc import Mapping
from itertools import islice

from imagen.formats.texts import Texts

# PNG's keyword for XMP, used as the key for all formats.
XMP_KEY = "XML:com.adobe.xmp"
SOURCE_TYPE = "Iptc4xmpExt:DigitalSourceType"
# Prefix of all terms of the vocabulary.
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

_NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "imagen": "urn:imagen-studio:xmp:1.0/",
}
# The properties that hold the same as a separate text in a PNG, with its key.
_TEXTS = {"imagen:note": "imagen", "sdcpp:parameters": "parameters"}
# A property name may occur in other texts too; more attempts would let a hostile packet
# cost quadratic time.
_MAX_TRIES = 3
_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_QUOTED = re.compile(r"""\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_RESOURCE = re.compile(r"""\srdf:resource=["']([^"'<>]*)""")


def build_xmp_packet(properties: Mapping[str, str]) -> str:
    """Return a packet with the properties, whose names have a namespace prefix."""
    marks = 'begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"'
    content = extract_xmp_properties(properties)
    return f'<?xpacket {marks}?>\n{content}\n<?xpacket end="r"?>'


def extract_xmp_properties(properties: Mapping[str, str]) -> str:
    """Return the properties as XMP without the packet markers."""
    used = dict.fromkeys(name.partition(":")[0] for name in properties)
    spaces = "".join(f' xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in used)
    elements = "".join(
        f"\n  <{name}>{_escape(text)}</{name}>" for name, text in properties.items()
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'\n <rdf:Description rdf:about=""{spaces}>{elements}\n </rdf:Description>\n'
        "</rdf:RDF></x:xmpmeta>"
    )


def read_xmp(packet: str, texts: Texts) -> None:
    """Add the properties of a packet that replace separate texts."""
    for name, key in _TEXTS.items():
        texts.put(key, find_xmp_property(packet, name))


def find_xmp_property(packet: str, name: str) -> str:
    """Return the text of a property, an element or an attribute; "" for none."""
    from html import unescape  # noqa: PLC0415 - not to write one

    # A search instead of an XML parser, because a parser expands entities, which a
    # hostile packet can use to fill the memory.
    places = re.finditer(rf"[<\s]{re.escape(name)}(?=[\s=/>])", packet)
    for place in islice(places, _MAX_TRIES):
        at = place.end()
        if not place[0].startswith("<"):
            if quoted := _QUOTED.match(packet, at):
                return unescape(quoted[1] or quoted[2] or "")
            continue
        start = packet.find(">", at) + 1
        if resource := _RESOURCE.search(packet, at, max(at, start)):
            return unescape(resource[1])
        end = packet.find("<", start)
        if start and end >= 0 and packet[start - 2] != "/":
            return unescape(packet[start:end])
    return ""


def _escape(text: str) -> str:
    text = _NOT_IN_XML.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""An XMP packet: what stands in it for everyone (ISO 16684-1, IPTC 2025.1)."""

import re
from collections.abc import Mapping
from itertools import islice

from imagen.formats.texts import Texts

XMP_KEY = "XML:com.adobe.xmp"
"""What PNG calls it, and so do we, whichever file it is in."""
SOURCE_TYPE = "Iptc4xmpExt:DigitalSourceType"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""How every word of IPTC's vocabulary begins."""
AI_MADE = SOURCE_TYPES + "trainedAlgorithmicMedia"

_NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "imagen": "urn:imagen-studio:xmp:1.0/",
}
_TEXTS = {"imagen:note": "imagen", "sdcpp:parameters": "parameters"}
"""The properties that hold what a PNG says in a text of its own."""
_TRIES = 3
_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ENTITY = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#x([0-9a-fA-F]{1,6})|#([0-9]{1,7}));")
_QUOTED = re.compile(r"""\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_RESOURCE = re.compile(r"""\srdf:resource=["']([^"'<>]*)""")
_SURROGATES, _LAST_CHARACTER = range(0xD800, 0xE000), 0x10FFFF
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def build_xmp_packet(properties: Mapping[str, str]) -> str:
    """Return a packet with the properties, each with the prefix of its namespace."""
    marks = 'begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"'
    content = extract_xmp_properties(properties)
    return f'<?xpacket {marks}?>\n{content}\n<?xpacket end="r"?>'


def extract_xmp_properties(properties: Mapping[str, str]) -> str:
    """Return the properties without the marks of a packet around them."""
    used = dict.fromkeys(name.partition(":")[0] for name in properties)
    spaces = "".join(f' xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in used)
    said = "".join(
        f"\n  <{name}>{_escaped(text)}</{name}>" for name, text in properties.items()
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'\n <rdf:Description rdf:about=""{spaces}>{said}\n </rdf:Description>\n'
        "</rdf:RDF></x:xmpmeta>"
    )


def read_xmp(packet: str, texts: Texts) -> None:
    """Keep what a packet says in the place of a text of its own."""
    for name, key in _TEXTS.items():
        texts.put(key, find_xmp_property(packet, name))


def find_xmp_property(packet: str, name: str) -> str:
    """Return the text of a property, be it an element or an attribute; "" if none.

    The packet is searched, not parsed: nothing in it is expanded or followed.
    """
    places = re.finditer(rf"[<\s]{re.escape(name)}(?=[\s=/>])", packet)
    for place in islice(places, _TRIES):
        at = place.end()
        if not place[0].startswith("<"):
            if quoted := _QUOTED.match(packet, at):
                return _plain(quoted[1] or quoted[2] or "")
            continue
        start = packet.find(">", at) + 1
        if resource := _RESOURCE.search(packet, at, max(at, start)):
            return _plain(resource[1])
        end = packet.find("<", start)
        if start and end >= 0 and packet[start - 2] != "/":
            return _plain(packet[start:end])
    return ""


def _escaped(text: str) -> str:
    text = _NOT_IN_XML.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    if entity[1]:
        return _NAMED[entity[1]]
    code = int(entity[2], 16) if entity[2] else int(entity[3])
    fits = code <= _LAST_CHARACTER and code not in _SURROGATES
    return chr(code) if fits else "\ufffd"

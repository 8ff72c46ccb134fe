"""What stands inside an image file about its making: put there, and taken out."""

from imagen.domain.errors import Unsupported
from imagen.domain.metadata.infotext import write_infotext
from imagen.domain.sidecar import Sidecar, write_note
from imagen.formats.container import ImageFacts, read_facts
from imagen.formats.exif import build_exif
from imagen.formats.jpeg import insert_jpeg_metadata, strip_jpeg
from imagen.formats.png import insert_png_texts, strip_png
from imagen.formats.webp import insert_webp_metadata, strip_webp
from imagen.formats.xmp import AI_MADE, SOURCE_TYPE, XMP_KEY, build_xmp_packet

_NOTE = "imagen:note"


def embed_metadata(content: bytes, facts: ImageFacts, sidecar: Sidecar) -> bytes:
    """Return the file with the note inside, or as it is where none may be put.

    No pixel is packed anew, and everything that is there stays, bit for bit and in its
    order. A text, an EXIF block or an XMP packet that is there stays instead of ours.
    With a C2PA manifest the file stays as it is, for any change would break that.
    """
    if facts.signed:
        return content
    shared, note = write_infotext(sidecar), write_note(sidecar)
    software = f"imagen {sidecar.imagen_version}"
    said = {
        "xmp:CreatorTool": software,
        SOURCE_TYPE: AI_MADE,
        "Iptc4xmpExt:AISystemUsed": sidecar.model or sidecar.backend,
        "Iptc4xmpExt:AIPromptInformation": sidecar.prompt_sent,
    }
    match facts.media_type:
        case "image/png":
            return insert_png_texts(
                content,
                {"imagen": note, "parameters": shared, XMP_KEY: build_xmp_packet(said)},
            )
        case "image/jpeg":
            block = build_exif(shared, software=software)
            return insert_jpeg_metadata(content, block, {**said, _NOTE: note})
        case "image/webp":
            block = build_exif(shared, software=software)
            return insert_webp_metadata(content, block, {**said, _NOTE: note})
        case _:
            return content


def strip_metadata(content: bytes) -> bytes:
    """Return the file with nothing in it but what shows.

    The packed pixels stay as they are, bit for bit; so do frames and their timing,
    transparency, background, the colour profile and the other facts about colours, the
    pixels' density and shape, and how the picture is turned. Everything else goes, and
    so does what follows the end of the image.

    Raises:
        NotAnImage: it is no PNG, JPEG, WebP or GIF, or not a whole one.
        Unsupported: it is a GIF.
    """
    match read_facts(content).media_type:
        case "image/png":
            return strip_png(content)
        case "image/jpeg":
            return strip_jpeg(content)
        case "image/webp":
            return strip_webp(content)
        case other:
            raise Unsupported(
                f"What is inside {other} cannot be taken out yet.",
                hint="imagen strip takes PNG, JPEG and WebP.",
            )

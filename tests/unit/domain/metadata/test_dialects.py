"""Files as the tools of the field write them, made here after what they document."""

import json
import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image
from tests.unit.domain.pictures import (
    JPEG,
    chunk,
    encoded,
    picture,
    raw_png,
    segment,
    text,
    with_segments,
)
from tests.unit.domain.written import (
    EARLY_INVOKEAI,
    FOOOCUS,
    GRAPH,
    INFOTEXT,
    INVOKEAI,
    MFLUX,
    NOVELAI,
    png,
)

from imagen.domain.metadata.embedded import Recipe
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.size import Size


def with_exif(kind: str, tags: dict[int, object], comment: bytes | str = b"") -> bytes:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    if comment:
        exif.get_ifd(0x8769)[0x9286] = comment
    return encoded(picture(), kind, exif=exif.tobytes())


def unicode_comment(words: str, encoding: str = "utf-16-be") -> bytes:
    return b"UNICODE\0" + words.encode(encoding)


def recipe(content: bytes) -> Recipe:
    making = read_embedded_metadata(content)
    assert making.recipe is not None
    assert making.warnings == ()
    return making.recipe


AUTOMATIC1111 = Recipe(
    tool="AUTOMATIC1111",
    prompt="a fox, <lora:ink:0.8>\nin the snow",
    negative="blurry",
    seed=2**64 - 1,
    steps=20,
    size=Size(512, 768),
    model="sd: 1",
    guidance=7.5,
    sampler="Euler a",
    parameters={
        "Schedule type": "Automatic",
        "Model hash": "abcd1234",
        "Lora hashes": "ink: 11, b: 22",
        "Version": "v1.10.1",
    },
)


@pytest.mark.parametrize(
    "content",
    [
        png(parameters=INFOTEXT + "v1.10.1"),
        with_exif("JPEG", {}, unicode_comment(INFOTEXT + "v1.10.1")),
        with_exif("WEBP", {}, unicode_comment(INFOTEXT + "v1.10.1")),
        with_exif("JPEG", {}, unicode_comment(INFOTEXT + "v1.10.1", "utf-16-le")),
        with_exif("JPEG", {}, unicode_comment(INFOTEXT + "v1.10.1", "utf-16")),
        with_exif("JPEG", {}, b"ASCII\0\0\0" + f"{INFOTEXT}v1.10.1".encode()),
        with_exif("JPEG", {}, b"\0" * 8 + f"{INFOTEXT}v1.10.1".encode()),
    ],
)
def test_automatic1111(content: bytes) -> None:
    assert recipe(content) == AUTOMATIC1111


@pytest.mark.parametrize(
    ("version", "tool"),
    [
        ("v1.10.1", "AUTOMATIC1111"),
        ("f2.0.1v1.10.1-previous-669-gdfdcbab6", "Forge"),
        ("0a1b2c3, App: SD.Next", "SD.Next"),
        ("stable-diffusion.cpp", "stable-diffusion.cpp"),
        ("Fooocus v2.5.5", "Fooocus"),
        ("ComfyUI", "ComfyUI"),
        ("imagen 1.0", "imagen"),
    ],
)
def test_who_wrote_the_lines(version: str, tool: str) -> None:
    read = recipe(png(parameters=INFOTEXT + version))

    assert (read.tool, read.seed, read.size) == (tool, 2**64 - 1, Size(512, 768))


@pytest.mark.parametrize(
    "words", ["{red|blue} fox\nSteps: 1, Seed: 2, Size: 64x64", "{a: b", "[fox]"]
)
def test_a_prompt_may_begin_like_json(words: str) -> None:
    assert recipe(png(parameters=words)).prompt == words.split("\n", maxsplit=1)[0]


def test_a_comment_without_settings_is_anyones() -> None:
    making = read_embedded_metadata(
        with_exif("JPEG", {}, b"ASCII\0\0\0My holiday, day 3")
    )

    assert making.recipes == ()
    assert making.texts["UserComment"] == "My holiday, day 3"


SDCPP = (
    "a fox, 狐\nNegative prompt: dogs\nSteps: 4, CFG scale: 1.000000, "
    "Skip layers: [7, 8, 9, ], Guidance: 3.500000, Seed: 42, Size: 512x512, "
    "Model: flux.gguf, RNG: cuda, Sampler: euler simple, "
    'Version: stable-diffusion.cpp, SDCPP: {"schema": 1, "a": {"b": [1, 2]}}'
)


@pytest.mark.parametrize(
    "content",
    [
        raw_png(2, 8, extra=text("parameters", SDCPP.encode())),
        with_segments(JPEG, segment(0xFE, b"parameters\0" + SDCPP.encode() + b"\0")),
        encoded(
            picture(),
            "WEBP",
            xmp=(
                '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
                'xmlns:sdcpp="https://github.com/leejet/stable-diffusion.cpp/ns/1.0/">'
                f"<sdcpp:parameters>{SDCPP.replace(chr(34), '&quot;')}"
                "</sdcpp:parameters></rdf:Description></rdf:RDF></x:xmpmeta>"
            ).encode(),
        ),
    ],
)
def test_stable_diffusion_cpp(content: bytes) -> None:
    read = recipe(content)

    assert read.tool == "stable-diffusion.cpp"
    assert (read.prompt, read.negative) == ("a fox, 狐", "dogs")
    assert (read.seed, read.steps, read.guidance) == (42, 4, 1.0)
    assert (read.model, read.sampler) == ("flux.gguf", "euler simple")
    assert read.parameters["SDCPP"] == '{"schema": 1, "a": {"b": [1, 2]}}'
    assert read.parameters["Skip layers"] == "[7, 8, 9, ]"


COMFYUI = Recipe(
    tool="ComfyUI",
    prompt="a fox",
    negative="dogs",
    seed=7,
    steps=20,
    size=Size(640, 480),
    model="sd.ckpt",
    guidance=8.0,
    sampler="euler",
    parameters={"scheduler": "normal", "denoise": 1, "loras": ["ink"]},
)


def comf(key: str, said: object) -> bytes:
    return chunk(b"comf", key.encode() + b"\0" + json.dumps(said).encode())


@pytest.mark.parametrize(
    "content",
    [
        png(prompt=GRAPH, workflow={"nodes": []}),
        with_exif(
            "WEBP",
            {
                0x0110: "prompt:" + json.dumps(GRAPH),
                0x010F: "workflow:" + json.dumps({"nodes": []}),
            },
        ),
        raw_png(2, 8, extra=comf("prompt", GRAPH) + comf("workflow", {"nodes": []})),
        png(prompt={**GRAPH, "3": {**GRAPH["3"], "is_changed": [float("nan")]}}),
    ],
)
def test_comfyui(content: bytes) -> None:
    assert recipe(content) == COMFYUI
    assert (
        json.loads(read_embedded_metadata(content).texts["prompt"]).keys()
        == GRAPH.keys()
    )


def test_a_workflow_alone_is_comfyuis() -> None:
    assert recipe(png(workflow={"nodes": []})) == Recipe(tool="ComfyUI")


@pytest.mark.parametrize("words", ["a plain prompt", "{a|b}", "[]", '{"a": 1}'])
def test_a_prompt_of_somebody_else_is_not_comfyuis(words: str) -> None:
    making = read_embedded_metadata(png(prompt=words))

    assert (making.recipes, making.texts["prompt"]) == ((), words)


def test_invokeai() -> None:
    content = png(
        invokeai_metadata=INVOKEAI, invokeai_graph={"id": "x"}, invokeai_workflow={}
    )

    assert recipe(content) == Recipe(
        tool="InvokeAI",
        prompt="a fox",
        negative="dogs",
        seed=9,
        steps=4,
        size=Size(1024, 768),
        model="FLUX Dev",
        guidance=3.5,
        sampler="euler",
        parameters={"generation_mode": "flux_txt2img", "app_version": "5.6.0"},
    )


def test_early_invokeai() -> None:
    content = png(**{"sd-metadata": EARLY_INVOKEAI, "Dream": '"a fox" -s 50'})

    read = recipe(content)
    assert (read.tool, read.prompt, read.seed) == ("InvokeAI", "a fox", 1)
    assert (read.model, read.sampler, read.size) == ("sd-1.4", "k_lms", Size(512, 512))
    assert read.parameters == {"model": "stable diffusion", "app_version": "2.2.4"}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_mflux(kind: str) -> None:
    said = b"ASCII\0\0\0" + json.dumps(MFLUX, ensure_ascii=False).encode()

    assert recipe(with_exif(kind, {}, said)) == Recipe(
        tool="mflux",
        prompt="a fox, 狐",
        seed=3,
        steps=4,
        size=Size(1024, 512),
        model="dev",
        guidance=3.5,
        parameters={"mflux_version": "0.9.0", "quantize": 8},
    )


@pytest.mark.parametrize(
    "content",
    [
        png(parameters=FOOOCUS, fooocus_scheme="fooocus"),
        # In the outer directory, as Pillow puts what is set on the block itself.
        with_exif(
            "JPEG",
            {0x9286: json.dumps(FOOOCUS), 0x0131: "Fooocus v2.5.5", 0x927C: "fooocus"},
        ),
        with_exif("WEBP", {0x9286: json.dumps(FOOOCUS), 0x0131: "Fooocus v2.5.5"}),
    ],
)
def test_fooocus(content: bytes) -> None:
    assert recipe(content) == Recipe(
        tool="Fooocus",
        prompt="a fox",
        negative="dogs",
        seed=123,
        steps=30,
        size=Size(1152, 896),
        model="juggernautXL",
        guidance=4.0,
        sampler="dpmpp_2m_sde_gpu",
        parameters={
            "adm_guidance": "(1.5, 0.8, 0.3)",
            "full_prompt": ["a fox", "cinematic"],
            "version": "Fooocus v2.5.5",
        },
    )


@pytest.mark.parametrize(
    "content",
    [
        png(
            Title="AI generated image",
            Description="1girl, fox",
            Software="NovelAI",
            Source="NovelAI Diffusion V4.5 4BDE2A90",
            Comment=NOVELAI,
        ),
        with_exif(
            "WEBP",
            {0x010E: "1girl, fox", 0x0131: "NovelAI Diffusion V4.5 4BDE2A90"},
            b"ASCII\0\0\0" + json.dumps(NOVELAI).encode(),
        ),
    ],
)
def test_novelai(content: bytes) -> None:
    assert recipe(content) == Recipe(
        tool="NovelAI",
        prompt="1girl, fox",
        negative="lowres",
        seed=42,
        steps=28,
        size=Size(832, 1216),
        model="NovelAI Diffusion V4.5 4BDE2A90",
        guidance=5.0,
        sampler="k_euler",
        parameters={"noise_schedule": "karras"},
    )


def test_several_tools_may_speak() -> None:
    content = png(prompt=GRAPH, parameters=INFOTEXT + "v1.10.1", Comment=NOVELAI)

    making = read_embedded_metadata(content)

    assert [one.tool for one in making.recipes] == [
        "NovelAI",
        "AUTOMATIC1111",
        "ComfyUI",
    ]


@pytest.mark.parametrize(
    "key", ["imagen", "invokeai_metadata", "sd-metadata", "workflow"]
)
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ('{"a": ', "is invalid"),
        ('{"a": ' * 100 + "1" + "}" * 100, "is too deep"),
        ('{"a": [' + "1," * 300_000 + "1]}", "has too many values"),
    ],
)
def test_says_which_note_it_cannot_read(key: str, words: str, why: str) -> None:
    making = read_embedded_metadata(png(**{key: words}))

    assert making.recipes == ()
    assert len(making.warnings) == 1
    assert making.warnings[0].startswith(f"the JSON in {key!r} {why}")


def test_says_that_a_note_of_imagen_is_of_another_kind() -> None:
    making = read_embedded_metadata(png(imagen={"prompt": "a fox"}))

    assert making.recipes == ()
    assert making.warnings == ("imagen's own metadata has an unknown format",)


@pytest.mark.parametrize(
    ("packet", "word"),
    [
        ('<a Iptc4xmpExt:DigitalSourceType="{}algorithmicMedia"/>', "algorithmicMedia"),
        (
            "<Iptc4xmpExt:DigitalSourceType>{}digitalCapture"
            "</Iptc4xmpExt:DigitalSourceType>",
            "digitalCapture",
        ),
        ('<Iptc4xmpExt:DigitalSourceType rdf:resource="{}print"/>', "print"),
        ("<Iptc4xmpExt:DigitalSourceType/>", ""),
        ("<a Iptc4xmpExt:DigitalSourceType='elsewhere:a'/>", "elsewhere:a"),
    ],
)
def test_reads_the_source_type(packet: str, word: str) -> None:
    said = packet.format("http://cv.iptc.org/newscodes/digitalsourcetype/")

    for kind in ("JPEG", "WEBP"):
        assert (
            read_embedded_metadata(
                encoded(picture(), kind, xmp=said.encode())
            ).source_type
            == word
        )


def test_text_in_two_bytes_a_letter_is_found_by_its_zeros() -> None:
    # The block has its low bytes first, the comment its high bytes, as piexif writes.
    words = unicode_comment("a fox\nSteps: 1, Seed: 2, Size: 64x64")
    body = struct.pack("<HHHII", 1, 0x9286, 7, len(words), 26) + bytes(4) + words
    exif = b"Exif\0\0II*\0\x08\0\0\0" + body
    content = with_segments(JPEG, segment(0xE1, exif))

    assert recipe(content).prompt == "a fox"


def test_deflated_texts_are_read() -> None:
    packed = zlib.compress(b"a fox")
    zipped = chunk(b"zTXt", b"parameters\0\0" + packed)
    international = chunk(b"iTXt", b"parameters\0\1\0de\0Werte\0" + packed)

    for extra in (zipped, international):
        assert recipe(raw_png(2, 8, extra=extra)).prompt == "a fox"


def test_the_picture_can_still_be_opened() -> None:
    with Image.open(BytesIO(png(prompt=GRAPH))) as image:
        image.load()

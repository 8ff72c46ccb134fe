"""An image that is stored, and is not what a strict request has asked for."""

import msgspec
import pytest
from tests.unit.domain.notes import noted

from imagen.cli.generation import run_generation
from imagen.cli.output import Output
from imagen.domain.result import StoredImage
from imagen.formats.container import read_facts
from imagen.testing.fakes import tiny_png


@pytest.mark.parametrize(
    ("ignored", "strict", "code"),
    [
        ({}, True, 0),
        ({"fit": "it would enlarge it"}, False, 0),
        ({"fit": "it would enlarge it"}, True, 4),
    ],
)
def test_its_path_is_printed_and_the_exit_code_is_4(
    capsys: pytest.CaptureFixture[str],
    ignored: dict[str, str],
    strict: bool,
    code: int,
) -> None:
    image = StoredImage(
        number=1,
        location="x.png",
        content=tiny_png(),
        facts=read_facts(tiny_png()),
        sidecar=msgspec.structs.replace(noted(), ignored=ignored, adjusted={}),
        strict=strict,
    )
    out = Output()

    result = run_generation(
        lambda _: iter([image]),
        out,
        None,
        print_image=out.print_image,
        deliver=lambda _: None,
    )

    printed = capsys.readouterr()
    assert (result, printed.out) == (code, "x.png\n")
    assert printed.err == (
        "imagen: x.png is not as requested: fit is ignored: it would enlarge it.\n"
        if code
        else ""
    )

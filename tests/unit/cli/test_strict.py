"""An image that is stored, and is not what a strict request has asked for."""

import pytest
from tests.unit.domain.notes import noted

from imagen.cli.generation import run_generation
from imagen.cli.output import Output
from imagen.domain.result import StoredImage
from imagen.formats.container import read_facts
from imagen.testing.fakes import tiny_png


@pytest.mark.parametrize(
    ("difference", "code"), [("", 0), ("fit is ignored: it would enlarge it", 4)]
)
def test_its_path_is_printed_and_the_exit_code_is_4(
    capsys: pytest.CaptureFixture[str], difference: str, code: int
) -> None:
    image = StoredImage(
        number=1,
        location="x.png",
        content=tiny_png(),
        facts=read_facts(tiny_png()),
        sidecar=noted(),
        difference=difference,
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
        f"imagen: x.png is not as requested: {difference}.\n" if code else ""
    )

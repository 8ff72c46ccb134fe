import subprocess
import sys
from io import BytesIO

from PIL import Image

from imagen import testing
from imagen.formats.container import read_facts
from imagen.testing import tiny_png


def test_a_tiny_png_is_a_whole_image_of_one_colour() -> None:
    content = tiny_png(48, 16, (1, 2, 3))

    assert (read_facts(content).width, read_facts(content).height) == (48, 16)
    with Image.open(BytesIO(content)) as picture:
        assert picture.convert("RGB").getcolors() == [(48 * 16, (1, 2, 3))]


def test_all_that_is_offered_is_there() -> None:
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []


def test_says_which_extra_is_missing() -> None:
    code = "import sys; sys.modules['pytest'] = None; import imagen.testing"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    last = done.stderr.splitlines()[-1]
    assert "imagen.testing needs pytest: " in last
    assert last.endswith("install 'imagen-studio[testing]'")

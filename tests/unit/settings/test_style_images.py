"""A style may hold reference images, which follow those of the request."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen.bootstrap.requests import build_request, build_sweep_requests
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.settings.environment import Environment
from imagen.settings.model import Settings
from imagen.testing.fakes import tiny_png

Read = Callable[[str], Settings]


@pytest.fixture
def runtime(settings_of: Read, tmp_path: Path) -> Runtime:
    for number, name in enumerate(("own", "brand", "logo")):
        (tmp_path / f"{name}.png").write_bytes(tiny_png(8, 8, (number, 0, 0)))
    styles = f"{{brand: {{images: [{tmp_path}/brand.png, {tmp_path}/logo.png]}}}}"
    return Runtime(Environment({}), settings=settings_of(f"styles: {styles}"))


def test_they_follow_those_of_the_request(runtime: Runtime, tmp_path: Path) -> None:
    own = str(tmp_path / "own.png")

    both = build_request(runtime, "a cat", {"images": [own], "style": "brand"})
    alone = build_request(runtime, "a cat", {"style": "brand"})

    names = [Path(image.name).name for image in both.images]
    assert names == ["own.png", "brand.png", "logo.png"]
    assert alone.images == both.images[1:]


def test_they_belong_to_the_combinations_of_a_sweep_with_the_style(
    runtime: Runtime, tmp_path: Path
) -> None:
    own = str(tmp_path / "own.png")

    _, requests = build_sweep_requests(
        runtime, "a cat", {"images": [own], "style": ["brand", "photo"]}, backend="mock"
    )

    assert [len(request.images) for _, request in requests] == [3, 1]


def test_a_style_without_its_image_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "logo.png").unlink()

    with pytest.raises(InvalidRequest, match=r"logo\.png"):
        build_request(runtime, "a cat", {"style": "brand"})


def test_a_rerun_finds_them_in_their_folder(runtime: Runtime, tmp_path: Path) -> None:
    from imagen.bootstrap.generation import build_rerun

    assert str(tmp_path) in build_rerun(runtime).folders

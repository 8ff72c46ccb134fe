"""What is asked for when an image is to be made again."""

from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from imagen.bootstrap.generation import build_rerun
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.request import GenerationRequest
from imagen.domain.rerun import Overrides
from imagen.usecases.generate import GenerateImages
from imagen.usecases.rerun import RerunSource


class RerunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """As `imagen rerun` asks.

    Attributes:
        past: The image, and how it was made.
        overrides: What is to be different.
    """

    past: RerunSource
    overrides: Overrides

    def request(self, maker: GenerateImages, runtime: Runtime) -> GenerationRequest:
        """Return what makes it again.

        Raises:
            ImagenError: it cannot be made again, or not by that backend.
        """
        use_case = build_rerun(runtime, pipes=False)
        with remove_hints():
            return use_case.request(self.past, self.overrides, maker=maker)


@contextmanager
def remove_hints() -> Generator[None]:
    """Leave out what to do about it, for that is said of the command line."""
    try:
        yield
    except InvalidRequest as error:
        error.hint = ""
        raise

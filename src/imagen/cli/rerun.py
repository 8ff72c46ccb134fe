"""The command `imagen rerun`."""

import sys
from typing import Annotated

from imagen.bootstrap.generation import build_rerun, build_verify
from imagen.bootstrap.requests import build_overrides
from imagen.cli import exit_codes
from imagen.cli.generation import generate_images
from imagen.cli.generation_flags import (
    BackendFlag,
    GenerationSwitch,
    OutputFlags,
    RerunFlags,
    RunFlags,
)
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import (
    FLATTEN,
    STDOUT,
    GeneralFlags,
    PathWord,
    load_runtime,
)
from imagen.domain.errors import InvalidRequest, UsageError
from imagen.domain.result import StoredImage
from imagen.usecases.rerun import RerunSource


def rerun(
    image: PathWord,
    /,
    *,
    output: Annotated[OutputFlags, FLATTEN] = OutputFlags(),
    backend: BackendFlag = None,
    request: Annotated[RerunFlags, FLATTEN] = RerunFlags(),
    run: Annotated[RunFlags, FLATTEN] = RunFlags(),
    verify: GenerationSwitch = False,
    general: Annotated[GeneralFlags, FLATTEN] = GeneralFlags(),
) -> int:
    """Generate IMAGE again, and print the path of the new one.

    Reads the parameters from its sidecar, else from the history, else from the
    metadata in the file, which imagen, AUTOMATIC1111, ComfyUI or others wrote. Reports
    what cannot be reproduced before anything is sent; with --strict it is an error.

    ```
    imagen rerun fox.png --verify
    imagen rerun last --seed 0 --count 4
    imagen rerun 01a2055c-f0e1 --backend flux --estimate
    ```

    Args:
        image: A path, an id, a unique prefix of an id, or `last`.
        backend: The name of a backend in the config. [default: the one that made the
            image, else one of the same adapter, else the config's default_backend]
        verify: Compare the pixels with the source image; exit 0 if equal, else 1.
    """
    path = output.options(json=general.json).path
    if verify and run.count != 1:
        raise UsageError("--verify compares one image; omit --count.")
    out = general.out(hide_results=path == STDOUT)
    runtime = load_runtime(general.config)
    overrides = build_overrides(runtime, request.parameters(), count=run.count)
    use_case = build_rerun(runtime)
    source = use_case.find_source(str(image))
    if verify and source.image.content is None:
        raise InvalidRequest(f"{source.image.missing_reason} --verify needs the file.")
    if source.provenance.source != "imagen" and not out.quiet:
        print_message(f"Using the parameters that {source.provenance.source} recorded.")
    name = source.backend if backend is None else backend
    comparison = _Comparison(out, source) if verify else None
    code = generate_images(
        runtime,
        name,
        out,
        flags=run,
        output=output.options(
            media_type=source.media_type_for(name), stream=sys.stdout.buffer
        ),
        build_request=lambda generate: use_case.build_request(
            source, overrides, maker=generate
        ),
        print_image=comparison.print_image if comparison else None,
    )
    # The exit code of a failed generation goes before that of a difference.
    differs = comparison is not None and comparison.differs
    return code or (exit_codes.NOT_READY if differs else exit_codes.DONE)


class _Comparison:
    """The comparison of the new image with the source image.

    The source is read before, because the new image may replace its file.
    """

    def __init__(self, out: Output, source: RerunSource) -> None:
        self._out = out
        self._location = source.image.location
        self._content = source.image.content or b""
        self.differs = False

    def print_image(self, image: StoredImage) -> None:
        """Print the path of the new image, and how it differs from the source."""
        if not self._out.json:
            self._out.print_image(image)
        difference = build_verify().run(self._content, image)
        self.differs = bool(difference)
        if self._out.json:
            self._out.print_sidecar(image.sidecar, image.location, equal=not difference)
        if difference:
            print_message(f"Not the same as {self._location}: {difference}.")
        elif not self._out.quiet:
            print_message(f"The same as {self._location}, pixel for pixel.")

"""The command `imagen rerun`."""

import sys
from typing import Annotated

from imagen.bootstrap.generation import build_rerun, verify_image
from imagen.bootstrap.requests import build_overrides
from imagen.cli import exit_codes
from imagen.cli.generation import generate_images
from imagen.cli.generation_flags import (
    BackendFlag,
    GenerationSwitch,
    OutputFlags,
    RepetitionFlags,
    RerunFlags,
    RunFlags,
)
from imagen.cli.output import print_message
from imagen.cli.parameters import (
    FLATTEN,
    STDOUT,
    GeneralFlags,
    PathWord,
    load_runtime,
)
from imagen.domain.errors import InvalidRequest, UsageError
from imagen.domain.result import StoredImage


def rerun(
    image: PathWord,
    /,
    *,
    output: Annotated[OutputFlags, FLATTEN] = OutputFlags(),
    backend: BackendFlag = None,
    request: Annotated[RerunFlags, FLATTEN] = RerunFlags(),
    run: Annotated[RunFlags, FLATTEN] = RunFlags(),
    again: Annotated[RepetitionFlags, FLATTEN] = RepetitionFlags(),
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
    imagen rerun last --prompt "a red fox at night" --style photo
    imagen rerun 01a2055c-f0e1 --backend flux --estimate
    ```

    Args:
        image: A path, an id, a unique prefix of an id, or `last`.
        backend: The name of a backend in the config. [default: the one that made the
            image, else one of the same adapter, else the config's default_backend]
        verify: Compare the pixels with the source image; exit 0 if equal, else 1.
    """
    path = output.options(json=general.json).path
    if verify and run.count not in {None, 1}:
        raise UsageError("--verify compares one image; omit --count.")
    out = general.out(hide_results=path == STDOUT)
    runtime = load_runtime(general.config)
    overrides = build_overrides(runtime, request.parameters(), count=run.count)
    use_case = build_rerun(runtime)
    source = use_case.find_source(str(image), backend=backend)
    if verify and source.image.content is None:
        raise InvalidRequest(f"{source.image.missing_reason} --verify needs the file.")
    if source.provenance.source != "imagen" and not out.quiet:
        print_message(f"Using the parameters that {source.provenance.source} recorded.")
    # Read before the generation, because the new image may replace the file.
    original, equal = source.image.content or b"", list[bool]()

    def compare(new: StoredImage) -> None:
        if not general.json:
            out.print_image(new)
        difference = verify_image(original, new)
        if general.json:
            out.print_image(new, equal=not difference)
        equal.append(not difference)
        if difference:
            print_message(f"Not the same as {source.image.location}: {difference}.")
        elif not out.quiet:
            print_message(f"The same as {source.image.location}, pixel for pixel.")

    code = generate_images(
        runtime,
        source.backend,
        out,
        flags=run,
        command="rerun",
        repetition=again.repetition(),
        output=output.options(media_type=source.media_type, stream=sys.stdout.buffer),
        build_request=lambda generate: use_case.build_request(
            source, overrides, maker=generate
        ),
        print_image=compare if verify else None,
    )
    # The exit code of a failed generation goes before that of a difference.
    # Of the batch of a workflow, the image is one.
    same = any(equal) or not verify
    return code or (exit_codes.DONE if same else exit_codes.NOT_READY)

"""The command `imagen generate`."""

import sys
from typing import Annotated

from imagen.cli.generation_flags import (
    BackendFlag,
    GenerateFlags,
    OutputFlags,
    RepetitionFlags,
    RunFlags,
)
from imagen.cli.parameters import (
    FLATTEN,
    STDOUT,
    GeneralFlags,
    PromptWord,
    load_runtime,
    read_prompt,
)


def generate(
    prompt: PromptWord = None,
    /,
    *,
    output: Annotated[OutputFlags, FLATTEN] = OutputFlags(),
    backend: BackendFlag = None,
    request: Annotated[GenerateFlags, FLATTEN] = GenerateFlags(),
    run: Annotated[RunFlags, FLATTEN] = RunFlags(),
    again: Annotated[RepetitionFlags, FLATTEN] = RepetitionFlags(),
    general: Annotated[GeneralFlags, FLATTEN] = GeneralFlags(),
) -> int:
    """Generate images from PROMPT, and print the path of each.

    ```
    imagen generate "a cat in a fishbowl" --seed 42 -o cat.png
    imagen generate "RAG systems" --style blog-header --size 1536x768
    echo "a red fox" | imagen generate --count 4 --json
    ```

    Args:
        prompt: The description of the image; `-` reads it from standard input, and so
            does a pipe without PROMPT.
        backend: The name of a backend in the config. [default: its default_backend]
    """
    # Here, so that the help loads only the flags.
    from imagen.bootstrap.requests import build_request  # noqa: PLC0415
    from imagen.cli.generation import generate_images  # noqa: PLC0415

    out = general.out(hide_results=output.output == STDOUT)
    runtime = load_runtime(general.config)
    parsed = build_request(
        runtime, read_prompt(prompt), request.parameters(), count=run.count
    )
    return generate_images(
        runtime,
        backend,
        out,
        flags=run,
        repetition=again.repetition(),
        output=output.options(json=general.json, stream=sys.stdout.buffer),
        build_request=lambda _: parsed,
    )

"""The command `imagen generate`."""

import sys
from functools import partial
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import build_brief_delivery
from imagen.bootstrap.display import build_preview
from imagen.bootstrap.generation import build_generate
from imagen.bootstrap.output import STDOUT, OutputOptions
from imagen.bootstrap.requests import build_request, read_reference
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.generation_flags import (
    BackendFlag,
    CountFlag,
    EstimateFlag,
    FitFlag,
    ImageFlag,
    LiveFlag,
    MaskFlag,
    MaxCostFlag,
    ModelFlag,
    NoCloudFlag,
    NoMetadataFlag,
    NoSidecarFlag,
    OutputFlag,
    PreviewFlag,
    SetFlag,
    SizeFlag,
    StrictFlag,
    TimeoutFlag,
    run_generation,
)
from imagen.cli.output import Output, build_event_listener, create_progress_bar
from imagen.cli.parameters import (
    HOW,
    WHAT,
    ConfigFlag,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    check_output,
    complete_styles,
    keep_path,
    parse_options,
    parse_whole_number,
    read_prompt,
)
from imagen.domain.errors import UsageError
from imagen.domain.estimate import estimate_plan
from imagen.domain.result import StoredImage
from imagen.settings.environment import process_environment


def generate(
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    backend: BackendFlag = None,
    style: Annotated[
        str | None, Parameter(group=WHAT, metavar="NAME", completer=complete_styles)
    ] = None,
    negative: Annotated[str, Parameter(group=WHAT, show_default=False)] = "",
    size: SizeFlag = None,
    count: CountFlag = 1,
    seed: Annotated[
        int, Parameter(group=WHAT, metavar="N", converter=parse_whole_number)
    ] = 0,
    steps: Annotated[
        int, Parameter(group=HOW, metavar="N", converter=parse_whole_number)
    ] = 0,
    model: ModelFlag = None,
    set: SetFlag = None,  # noqa: A002 - the flag is called so
    image: ImageFlag = None,
    mask: MaskFlag = None,
    timeout: TimeoutFlag = None,
    strict: StrictFlag = False,
    live: LiveFlag = False,
    estimate: EstimateFlag = False,
    max_cost: MaxCostFlag = None,
    output: OutputFlag = None,
    fit: FitFlag = None,
    no_sidecar: NoSidecarFlag = False,
    no_metadata: NoMetadataFlag = False,
    no_cloud: NoCloudFlag = False,
    preview: PreviewFlag = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Generate images of PROMPT, and print where each of them is.

    ```
    imagen generate "a cat in a fishbowl" --seed 42 -o cat.png
    imagen generate "RAG systems" --style blog-header --size 1536x768
    echo "a red fox" | imagen generate - --count 4 --json
    ```

    Args:
        prompt: What the image shows; `-` reads it from standard input.
        backend: An instance of the config. [default: its default_backend]
        style: A style of the config; an unknown name lists those there are.
        negative: What to keep out of the image.
        size: Width and height, 16 to 16384. [default: the style's, the
            backend's, else 1024x1024]
        count: How many images; their seeds follow on from the first.
        seed: 0 draws one; the seed used is always recorded.
        steps: 0 is the backend's own number.
        model: Where the backend lets it be chosen.
        set: A parameter of the backend's own, typed as in YAML; repeatable.
        image: A reference image, for backends that edit or take them; repeatable.
        mask: Where it is transparent the first image is painted anew.
        output: A file (its extension is the format), a folder, or - for the
            bytes on stdout. [default: named by the config's template]
    """
    environment = process_environment()
    said = Output(
        json=json, quiet=quiet, verbose=verbose, silent_results=output == STDOUT
    )
    runtime = Runtime.load(keep_path(config), environment=environment)
    request = build_request(
        runtime.settings,
        read_prompt(prompt),
        negative=negative,
        style=style,
        size=size,
        seed=seed,
        steps=steps,
        model=model,
        count=count,
        options=parse_options(set or []),
        images=[read_reference(each, environment=environment) for each in image or []],
        mask=None if mask is None else read_reference(mask, environment=environment),
        max_cost=max_cost,
        fit=fit,
        timeout=timeout,
        strict=strict,
    )
    where = check_output(output)
    if where == STDOUT and json:
        raise UsageError("The bytes of an image and JSON cannot both go to stdout.")
    # Before the terminal is probed, so that an unknown name is the only message.
    runtime.get_backend(backend)
    logs = verbose or bool(environment.log)  # which a bar would garble
    bar = create_progress_bar(quiet=quiet or logs)
    picture = None
    if live and not estimate:
        from imagen.cli.live import create_live_picture  # noqa: PLC0415 - rare

        picture = create_live_picture(runtime, bar, logs=logs)
    listen = build_event_listener(said, bar, environment, first=picture)
    window = build_preview(
        runtime,
        flag=preview,
        on_terminal=sys.stdout.isatty() and where != STDOUT,
        listen=listen,
    )
    use_case = build_generate(
        runtime,
        backend,
        output=OutputOptions(
            path=where,
            sidecar=not no_sidecar,
            metadata=not no_metadata,
            cloud=not no_cloud,
            stream=sys.stdout.buffer,
        ),
        count=count,
        live=picture is not None,
        listen=listen,
    )
    plan = use_case.plan(request)
    if estimate:
        use_case.check_budget(plan)
        said.estimate(estimate_plan(plan))
        return exit_codes.DONE
    deliver = build_brief_delivery(runtime, images=not no_cloud, listen=listen)

    def tell(image: StoredImage) -> None:
        said.stored(image)
        if window is not None:
            window.run(image)

    with runtime:
        return run_generation(
            partial(use_case.outcomes, plan),
            said,
            bar,
            picture=picture,
            tell=tell,
            deliver=deliver,
        )

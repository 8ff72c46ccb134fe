"""The command `imagen rerun`."""

import sys
from functools import partial
from typing import Annotated

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import build_brief_delivery
from imagen.bootstrap.display import build_preview
from imagen.bootstrap.generation import build_generate, build_rerun, build_verify
from imagen.bootstrap.output import STDOUT, OutputOptions
from imagen.bootstrap.requests import build_overrides, read_reference
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
from imagen.cli.output import (
    Output,
    build_event_listener,
    create_progress_bar,
    display_path,
    say,
)
from imagen.cli.parameters import (
    HOW,
    WHAT,
    ConfigFlag,
    JsonFlag,
    PathWord,
    QuietFlag,
    VerboseFlag,
    check_output,
    keep_path,
    parse_options,
    parse_whole_number,
)
from imagen.domain.errors import InvalidRequest, UsageError
from imagen.domain.estimate import estimate_plan
from imagen.domain.result import StoredImage
from imagen.settings.environment import process_environment
from imagen.usecases.rerun import RerunSource


def rerun(
    image: PathWord,
    /,
    *,
    backend: BackendFlag = None,
    seed: Annotated[
        int | None, Parameter(group=WHAT, metavar="N", converter=parse_whole_number)
    ] = None,
    steps: Annotated[
        int | None, Parameter(group=HOW, metavar="N", converter=parse_whole_number)
    ] = None,
    size: SizeFlag = None,
    count: CountFlag = 1,
    model: ModelFlag = None,
    set: SetFlag = None,  # noqa: A002 - the flag is called so
    images: Annotated[ImageFlag, Parameter(name="--image")] = None,
    mask: MaskFlag = None,
    timeout: TimeoutFlag = None,
    strict: StrictFlag = False,
    live: LiveFlag = False,
    estimate: EstimateFlag = False,
    max_cost: MaxCostFlag = None,
    verify: Annotated[bool, Parameter(group=HOW, show_default=False)] = False,
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
    """Make IMAGE again, and print where the new one is.

    By its sidecar, else the history, else by what its file says: imagen's own note, or
    what AUTOMATIC1111, ComfyUI and others write. What cannot be carried over is said
    before anything is sent; with --strict it is an error.

    ```
    imagen rerun fox.png --verify
    imagen rerun last --seed 0 --count 4
    imagen rerun 01a2055c-f0e1 --backend flux --estimate
    ```

    Args:
        image: A path, an id, a unique beginning of an id, or `last`.
        backend: An instance of the config. [default: the one that made it, else one
            of its adapter, else the config's default_backend]
        seed: 0 draws another one. [default: as it was]
        steps: 0 is the backend's own number. [default: as they were]
        size: Width and height, 16 to 16384. [default: as it was asked for]
        count: How many images; their seeds follow on from the first.
        model: Where the backend lets it be chosen. [default: as it was]
        set: A parameter of the backend's own, in place of what it was; repeatable.
        images: A reference image, in place of those that there were; repeatable.
        mask: In place of the one that there was.
        verify: Say whether the pixels are equal; exit 0 if they are, else 1.
        output: A file, a folder, or - for the bytes on stdout. [default: named by the
            config's template]
    """
    where = check_output(output)
    if where == STDOUT and json:
        raise UsageError("The bytes of an image and JSON cannot both go to stdout.")
    if verify and count != 1:
        raise UsageError("--verify compares one image, and --count asks for others.")
    environment = process_environment()
    said = Output(
        json=json, quiet=quiet, verbose=verbose, silent_results=where == STDOUT
    )
    runtime = Runtime.load(keep_path(config), environment=environment)
    read = partial(read_reference, environment=environment)
    wishes = build_overrides(
        count=count,
        seed=seed,
        steps=steps,
        size=size,
        model=model,
        options=parse_options(set or []),
        images=None if images is None else [read(each) for each in images],
        mask=None if mask is None else read(mask),
        max_cost=max_cost,
        fit=fit,
        timeout=timeout,
        strict=strict,
    )
    again = build_rerun(runtime)
    past = again.find_source(str(image))
    if verify and past.image.content is None:
        raise InvalidRequest(
            f"{past.image.missing_reason} So there is nothing to compare with."
        )
    if past.provenance.source != "imagen" and not quiet:
        say(f"As {past.provenance.source} says that it was made.")
    chosen = past.backend if backend is None else backend
    # Before the terminal is probed, so that an unknown name is the only message.
    runtime.get_backend(chosen)
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
        chosen,
        output=OutputOptions(
            path=where,
            sidecar=not no_sidecar,
            metadata=not no_metadata,
            cloud=not no_cloud,
            format=past.media_type_for(chosen),
            stream=sys.stdout.buffer,
        ),
        count=count,
        live=picture is not None,
        listen=listen,
    )
    with runtime:
        plan = use_case.plan(again.build_request(past, wishes, maker=use_case))
        if estimate:
            use_case.check_budget(plan)
            said.estimate(estimate_plan(plan))
            return exit_codes.DONE
        verdict = _Verdict(said, past) if verify else None

        def tell(image: StoredImage) -> None:
            (verdict.tell if verdict else said.stored)(image)
            if window is not None:
                window.run(image)

        deliver = build_brief_delivery(runtime, images=not no_cloud, listen=listen)
        code = run_generation(
            partial(use_case.outcomes, plan),
            said,
            bar,
            picture=picture,
            tell=tell,
            deliver=deliver,
        )
    return code or (exit_codes.NOT_READY if verdict and verdict.differs else code)


class _Verdict:
    """Compares the new image with the old one, which it may replace."""

    def __init__(self, said: Output, past: RerunSource) -> None:
        self._said = said
        self._name = past.image.location
        self._before = past.image.content or b""
        self.differs = False

    def tell(self, image: StoredImage) -> None:
        """Print where the new image is, and say whether it is equal."""
        if not self._said.json:
            self._said.stored(image)
        difference = build_verify().run(self._before, image)
        self.differs = bool(difference)
        if self._said.json:
            note = msgspec.to_builtins(image.sidecar)
            path = display_path(image.location)
            self._said.object({**note, "path": path, "equal": not difference})
        if difference:
            say(f"Not the same as {self._name}: {difference}.")
        elif not self._said.quiet:
            say(f"The same as {self._name}, pixel for pixel.")

"""`Studio`: one configuration with open connections, for many calls."""

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, Unpack, cast, overload

from msgspec.structs import asdict

from imagen.api.outcomes import (
    collect_outcomes,
    convert_report,
    show_progress,
)
from imagen.api.parameters import (
    Parameters,
    RerunArguments,
    RunOptions,
    SingleRunOptions,
    SweepArguments,
    check_names,
    document,
)
from imagen.api.results import Image, Images, ShownEstimate, Sweep
from imagen.bootstrap.cloud import deliver_briefly
from imagen.bootstrap.display import build_preview
from imagen.bootstrap.generation import (
    build_contact_sheet,
    build_generate,
    build_rerun,
)
from imagen.bootstrap.once import Repetition, plan_generation, plan_sweep
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.parameters import (
    PARAMETERS,
    RequestParameters,
    RerunParameters,
    SweepParameters,
)
from imagen.bootstrap.requests import (
    build_overrides,
    build_request,
)
from imagen.bootstrap.runtime import Runtime
from imagen.domain.command import CommandName
from imagen.domain.errors import (
    InvalidRequest,
    SomeImagesFailed,
    StorageError,
)
from imagen.domain.estimate import Estimate, estimate_plan
from imagen.domain.events import Listener, ignore_event
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.engine.thread_pool import GRACE
from imagen.settings.environment import process_environment
from imagen.usecases.generate import GenerateImages

if TYPE_CHECKING:
    from imagen.usecases.contact_sheet import SavedSheet

AnyImage: TypeAlias = str | PathLike[str] | Image
"""A path, an id, a unique prefix of an id, `"last"`, or an `Image`."""


class Studio:
    """One configuration with open connections, for many calls from any thread.

    Example:
        >>> with imagen.Studio(config="imagen.yaml") as studio:  # doctest: +SKIP
        ...     image = studio.generate("a cat")

    Args:
        config: The config file; None uses the same file as the command line.

    Raises:
        Misconfigured: the config is missing or invalid.
    """

    def __init__(self, *, config: str | PathLike[str] | None = None) -> None:
        self._runtime = Runtime.load(
            None if config is None else fspath(config),
            environment=process_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The studio cannot be used afterwards."""
        self._runtime.close()

    @overload
    def generate(
        self, prompt: str, *, count: None = None, **parameters: Unpack[Parameters]
    ) -> Image: ...
    @overload
    def generate(
        self, prompt: str, *, count: int, **parameters: Unpack[Parameters]
    ) -> Images: ...
    @document(Parameters)
    def generate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Image | Images:
        """Do the same as `imagen.generate`, with the configuration of this studio."""
        return self._generate(prompt, count, parameters)

    @overload
    async def agenerate(
        self, prompt: str, *, count: None = None, **parameters: Unpack[Parameters]
    ) -> Image: ...
    @overload
    async def agenerate(
        self, prompt: str, *, count: int, **parameters: Unpack[Parameters]
    ) -> Images: ...
    @document(Parameters)
    async def agenerate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Image | Images:
        """Do the same as `imagen.agenerate`, with the configuration of this studio."""
        return await self._agenerate(prompt, count, parameters)

    @document(Parameters)
    def estimate(
        self, prompt: str, *, count: int | None = None, **parameters: Unpack[Parameters]
    ) -> Estimate:
        """Do the same as `imagen.estimate`, with the configuration of this studio."""
        use_case, request = self._prepare(prompt, count, parameters)
        planned = plan_generation(
            self._runtime, use_case, request, repetition=_get_repetition(parameters)
        )
        planned.check_budget()
        return ShownEstimate(**asdict(estimate_plan(planned.plan)))

    @overload
    def rerun(
        self,
        image: AnyImage,
        *,
        count: None = None,
        **parameters: Unpack[RerunArguments],
    ) -> Image: ...
    @overload
    def rerun(
        self, image: AnyImage, *, count: int, **parameters: Unpack[RerunArguments]
    ) -> Images: ...
    @document(RerunArguments, defaults=False)
    def rerun(
        self,
        image: AnyImage,
        *,
        count: int | None = None,
        **parameters: Unpack[RerunArguments],
    ) -> Image | Images:
        """Do the same as `imagen.rerun`, with the configuration of this studio."""
        return self._rerun(image, count, parameters)

    def _generate(
        self,
        prompt: str,
        count: int | None,
        parameters: Parameters,
        cancellation: Cancellation | None = None,
    ) -> Image | Images:
        with show_progress(
            parameters.get("listen", ignore_event),
            shown=parameters.get("progress", True),
        ) as listen:
            use_case, request = self._prepare(prompt, count, parameters, listen)
            report = self._run(
                use_case,
                request,
                parameters,
                cancellation=cancellation or Cancellation(),
            )
        images = convert_report(report)
        return images.join() if count is None else images

    def _run(
        self,
        use_case: GenerateImages,
        request: GenerationRequest,
        parameters: RunOptions,
        *,
        name: CommandName = "generate",
        cancellation: Cancellation,
    ) -> GenerationReport:
        planned = plan_generation(
            self._runtime,
            use_case,
            request,
            name=name,
            repetition=_get_repetition(parameters),
        )
        return collect_outcomes(
            planned.outcomes(cancellation),
            cancellation,
            images=planned.work.images,
            finish=lambda report: self._deliver(report, parameters, cancellation),
        )

    async def _agenerate(
        self, prompt: str, count: int | None, parameters: Parameters
    ) -> Image | Images:
        import asyncio

        cancellation = Cancellation()
        work = asyncio.ensure_future(
            asyncio.to_thread(self._generate, prompt, count, parameters, cancellation)
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # Wait: cancelling the remote job needs the connections, and the caller
            # closes them after this.
            cancellation.cancel()
            await asyncio.wait([work], timeout=GRACE + 1)
            if work.done():
                # Otherwise asyncio reports that the exception was never retrieved.
                work.exception()
            raise

    def _rerun(
        self, image: AnyImage, count: int | None, parameters: RerunArguments
    ) -> Image | Images:
        check_names("rerun", parameters, RerunArguments)
        prepare = build_rerun(self._runtime)
        source = prepare.find_source(
            str(image.path) if isinstance(image, Image) else fspath(image),
            backend=parameters.get("backend"),
        )
        overrides = build_overrides(
            self._runtime,
            cast("RerunParameters", _select_request_parameters(parameters)),
            count=count,
        )
        with show_progress(
            parameters.get("listen", ignore_event),
            shown=parameters.get("progress", True),
        ) as listen:
            use_case = self._build_generate(
                source.backend,
                parameters,
                media_type=source.media_type,
                listen=listen,
            )
            request = prepare.build_request(source, overrides, maker=use_case)
            report = self._run(
                use_case,
                request,
                parameters,
                name="rerun",
                cancellation=Cancellation(),
            )
        images = convert_report(report)
        return images.join() if count is None else images

    def _sweep(self, prompt: str, parameters: SweepArguments) -> Sweep:
        jobs = parameters.get("jobs")
        if jobs is not None and jobs < 1:
            raise InvalidRequest(f"jobs is {jobs}, and should be 1 or more.")
        self._check_open()
        saved: SavedSheet | None = None
        failure: StorageError | None = None
        cancellation = Cancellation()
        with show_progress(
            parameters.get("listen", ignore_event),
            shown=parameters.get("progress", True),
        ) as listen:
            use_case, planned = plan_sweep(
                self._runtime,
                prompt,
                cast("SweepParameters", _select_request_parameters(parameters)),
                backend=parameters.get("backend"),
                output=_build_output_options(parameters),
                at_once=jobs,
                listen=listen,
                repetition=_get_repetition(parameters),
            )
            sheet = None
            if parameters.get("sheet", True):
                sheet = build_contact_sheet(use_case, planned.plan)

            def add(outcome: StoredImage | FailedImage) -> None:
                if sheet is not None:
                    sheet.add(outcome)

            def finish(report: GenerationReport) -> None:
                nonlocal saved, failure
                try:
                    if sheet is not None and not sheet.is_empty:
                        saved = sheet.save()
                except StorageError as error:
                    failure = error
                self._deliver(report, parameters, cancellation)

            report = collect_outcomes(
                planned.outcomes(cancellation),
                cancellation,
                images=planned.work.images,
                add=add,
                finish=finish,
            )
        images = convert_report(report)
        if failure is not None:
            raise SomeImagesFailed(
                f"The images are stored, and the contact sheet is not: {failure}",
                images=images,
                errors=[failure],
            ) from failure
        return Sweep(
            images,
            [cell.values for cell in planned.plan.cells],
            page=Path(saved.page_location) if saved else None,
            picture=Path(saved.picture_location) if saved else None,
        )

    def _prepare(
        self,
        prompt: str,
        count: int | None,
        parameters: Parameters,
        listen: Listener = ignore_event,
    ) -> tuple[GenerateImages, GenerationRequest]:
        check_names("generate", parameters, Parameters)
        request = build_request(
            self._runtime,
            prompt,
            cast("RequestParameters", _select_request_parameters(parameters)),
            count=count,
        )
        use_case = self._build_generate(
            parameters.get("backend"), parameters, listen=listen
        )
        return use_case, request

    def _build_generate(
        self,
        backend: str | None,
        options: SingleRunOptions,
        *,
        listen: Listener,
        media_type: str | None = None,
    ) -> GenerateImages:
        self._check_open()
        return build_generate(
            self._runtime,
            backend,
            output=_build_output_options(options, media_type=media_type),
            live=options.get("live", False),
            listen=listen,
        )

    def _deliver(
        self, report: GenerationReport, options: RunOptions, cancellation: Cancellation
    ) -> None:
        """Preview and upload the stored images."""
        listen = options.get("listen", ignore_event)
        if options.get("preview", False):
            preview = build_preview(
                self._runtime, flag=True, on_terminal=False, listen=listen
            )
            for image in report.stored:
                if preview is not None:
                    preview.run(image)
        cloud = options.get("cloud", True)
        deliver_briefly(self._runtime, cancellation, images=cloud, listen=listen)

    def _check_open(self) -> None:
        if self._runtime.closed:
            raise InvalidRequest("This studio is closed.", hint="Open another one.")


def _select_request_parameters(given: RunOptions) -> dict[str, object]:
    return {name: value for name, value in given.items() if name in PARAMETERS}


def _build_output_options(
    options: RunOptions, *, media_type: str | None = None
) -> OutputOptions:
    output = options.get("output")
    return OutputOptions(
        path=None if output is None else fspath(output),
        sidecar=options.get("sidecar", True),
        metadata=options.get("metadata", True),
        cloud=options.get("cloud", True),
        format=media_type,
    )


def _get_repetition(options: RunOptions) -> Repetition:
    return Repetition(
        key=options.get("key"),
        fresh=options.get("fresh", False),
        unrecorded=options.get("unrecorded", False),
    )

"""OpenAI's images API and its dialects: one request is the whole job."""

from collections.abc import Mapping

from msgspec.structs import replace

from imagen.adapters.backends.openai.answers import (
    read_answer,
    read_event,
    read_refusal,
)
from imagen.adapters.backends.openai.dialect import Images, Row, apply_row
from imagen.adapters.backends.openai.errors import to_error
from imagen.adapters.backends.openai.requests import (
    add_images,
    build_body,
    build_files,
    flatten,
)
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobFailed,
    JobPreview,
    JobRunning,
    JobSucceeded,
    quote_segment,
)
from imagen.adapters.system.shutdowns import look_up_shutdown
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError, InvalidRequest
from imagen.domain.job import ImageJob
from imagen.ports.clock import Clock

PREVIEWS = 2
"""Previews of an unfinished image; each costs 100 tokens at OpenAI."""

_NO_IMAGES = Images(form="files", field="", most=0)


class OpenAI:
    """A service that speaks a dialect, with a default model."""

    def __init__(
        self,
        row: Row,
        *,
        base_url: str,
        model: str,
        clock: Clock,
        previews: bool = False,
    ) -> None:
        """Create the vendor file.

        Args:
            row: A row of the table of dialects, with the changes of the config.
            base_url: The address of the service.
            model: The default model; "" if the service has one only.
            clock: The time, for models that end.
            previews: Whether the response is a stream of events with previews.
        """
        self._row, self._url, self._model, self._clock = row, base_url, model, clock
        self._previews = previews
        self._dialect = dialect = apply_row(row, model)
        self.idempotent = dialect.idempotent
        self.refuses_with, self.fails_with = dialect.refuses_with, dialect.fails_with

    @property
    def name(self) -> str:
        """The name for messages: with the address, unless it is the usual one."""
        from imagen.adapters.remote.errors import display_url  # noqa: PLC0415 - network

        title, is_usual = self._dialect.title, self._url == self._dialect.base_url
        return title if is_usual else f"{title} at {display_url(self._url)}"

    def capabilities(self) -> Capabilities:
        """Return the capabilities with the default model."""
        dialect, fields = self._dialect, self._dialect.fields
        images, options = dialect.images or _NO_IMAGES, dialect.options
        named = "model" in fields or "{model}" in dialect.path
        return Capabilities(
            model=self._model,
            models=None if named else (),
            sizes=dialect.sizes.rule,
            largest_seed=dialect.largest_seed if "seed" in fields else None,
            negative="negative" in fields,
            steps="steps" in fields,
            largest_batch=dialect.batch,
            formats=tuple(f"image/{each}" for each in dialect.formats),
            parameters=None
            if options is None
            else {name: option.description for name, option in options.items()},
            references=images.most,
            reference_limits=images.limits,
            mask=images.mask != "",
            mask_limits=images.mask_limits,
            provider=dialect.provider,
            live=dialect.stream,
            may_cost=not dialect.free,
            output_type=dialect.output_type,
            timeout=dialect.timeout,
        )

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities with a model, from the table."""
        yield from ()
        return self._with(model).capabilities()

    def for_job(self, job: ImageJob, *, previews: bool) -> "OpenAI":
        """Return the vendor file for the model of a job."""
        # A stream has one image; what is to be drawn is the same.
        streamed = previews and self._dialect.stream and job.count == 1
        return self._with(job.model, previews=streamed)

    def _with(self, model: str, *, previews: bool = False) -> "OpenAI":
        if not (model or self._model or not self._dialect.example):
            raise InvalidRequest(
                f"{self.name} has no default model.",
                hint="Set `model` in the config, or name one in the request, such as"
                f" {self._dialect.example}.",
            )
        return OpenAI(
            self._row,
            base_url=self._url,
            model=model or self._model,
            clock=self._clock,
            previews=previews,
        )

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request, which lasts until the images are drawn."""
        dialect, images = self._dialect, self._dialect.images
        body = build_body(job, dialect, model=self._model)
        if self._previews:
            body |= {"stream": True, "partial_images": PREVIEWS}
        request = HttpRequest(
            method="POST",
            path=dialect.path.replace("{model}", quote_segment(self._model)),
            query=dialect.query,
            headers={
                **dialect.headers,
                **({"Idempotency-Key": key} if dialect.idempotent else {}),
            },
        )
        if images is None or not job.images:
            return replace(request, json=body)
        request = replace(request, path=images.path or request.path)
        if images.form == "files":
            files = tuple(build_files(job, images))
            return replace(request, form=dict(flatten(body)), files=files)
        add_images(body, job, images)
        return replace(request, json=body)

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobSucceeded | JobFailed:
        """Return the images, or why the service withholds all of them."""
        answer = read_answer(response, self._dialect, name=self.name)
        if isinstance(answer, JobFailed):
            return answer
        transparent = job.options.get("background") == "transparent"
        return replace(answer, transparent=transparent)

    def streamed(self, message: str) -> JobRunning | JobPreview | None:
        """Return the preview, or the progress, in an event."""
        return read_event(message)

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or the service's message."""
        dialect, today = self._dialect, self._clock.now().date()
        shutdown = look_up_shutdown(dialect.provider, self._model)
        return to_error(
            read_refusal(response, dialect),
            status=response.status,
            name=self.name,
            codes=dialect.codes,
            ended=shutdown.describe(self._model, today=today) if shutdown else "",
        )

    def check(self) -> Mapping[str, Exchange[str]]:
        """Read the list of models, which needs the key and is free."""
        return {self.name: self._check()}

    def _check(self) -> Exchange[str]:
        try:
            yield HttpRequest(path=self._dialect.check, query=self._dialect.query)
        except InvalidRequest:
            return "it has no list of models, so the key is not checked"
        return ""

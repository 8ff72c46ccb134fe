"""The Gemini API as a vendor file, with one request to `generateContent` per image."""

from collections.abc import Mapping

from imagen.adapters.backends.gemini.answers import read_content
from imagen.adapters.backends.gemini.errors import to_error
from imagen.adapters.backends.gemini.models import MODELS, PROVIDER
from imagen.adapters.backends.gemini.parameters import (
    choose_shape,
    describe_model,
    encode_image,
    read_parameters,
)
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobSucceeded,
    quote_segment,
)
from imagen.adapters.system.shutdowns import look_up_shutdown
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError, InvalidRequest
from imagen.domain.job import ImageJob

_FIELDS = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}


class GenerateContent:
    """The Gemini API with requests that last as long as the job.

    Attributes:
        model: The default model.
    """

    name = "Gemini"
    # Google documents 501 as a method that does not exist. After 500, 503 and 504 the
    # image may have been made.
    refuses_with = frozenset({501})
    fails_with: frozenset[int] = frozenset()
    hosts = ("generativelanguage.googleapis.com",)

    def __init__(self, model: str) -> None:
        self.model = model

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, by the table of models."""
        return describe_model(self.model, default=self.model)

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities of a model; ask whether an unknown one exists."""
        if model not in MODELS:
            yield from self.find_model(model)
        return describe_model(model, default=self.model)

    def find_model(self, model: str) -> Exchange[None]:
        """Ask for a model.

        Raises:
            InvalidRequest: it does not exist.
        """
        try:
            yield HttpRequest(path=f"models/{quote_segment(model)}")
        except InvalidRequest as error:
            ended = look_up_shutdown(PROVIDER, model)
            hint = f"It was shut down; use {ended.successor}." if ended else ""
            raise InvalidRequest(
                f"{self.name} has no model {model!r}.", hint=hint or error.message
            ) from error

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request for one image."""
        model = job.model or self.model
        parameters = read_parameters(job, server=self.name)
        shape = choose_shape(job, model, parameters)
        config: dict[str, object] = {"responseModalities": ["IMAGE"]}
        if shape:
            config["imageConfig"] = {_FIELDS[name]: shape[name] for name in shape}
        if parameters.seed is not None:
            config["seed"] = parameters.seed
        if parameters.thinking_level:
            config["thinkingConfig"] = {"thinkingLevel": parameters.thinking_level}
        images = [
            {"inlineData": {"mimeType": image.media_type, "data": encode_image(image)}}
            for image in job.images
        ]
        parts = [{"text": job.prompt}, *images]
        return HttpRequest(
            method="POST",
            path=f"models/{quote_segment(model)}:generateContent",
            json={
                "contents": [{"role": "user", "parts": parts}],
                "generationConfig": config,
            },
            timeout=job.timeout,
        )

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobAccepted | JobSucceeded | JobFailed:
        """Return the images of the answer."""
        return read_content(response.json(object), server=self.name)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Check the key and the model."""
        return {f"model {self.model}": self._check_model()}

    def _check_model(self) -> Exchange[str]:
        yield from self.find_model(self.model)
        return ""

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or Google's message."""
        return to_error(response, self.name)

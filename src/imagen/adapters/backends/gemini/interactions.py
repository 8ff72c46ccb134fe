"""The Gemini API as a vendor file, with interactions in the background.

The id of an interaction is known before its image is drawn, so that the image can be
fetched after any failure.
"""

from imagen.adapters.backends.gemini.answers import read_interaction
from imagen.adapters.backends.gemini.parameters import (
    choose_shape,
    encode_image,
    read_parameters,
)
from imagen.adapters.backends.gemini.vendor import GenerateContent
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobRunning,
    JobStatus,
    JobSucceeded,
    quote_segment,
)
from imagen.domain.errors import ImagenError, InvalidRequest
from imagen.domain.job import ImageJob


class ContentJob(ImageJob, frozen=True, kw_only=True):
    """A job for `generateContent`, whose interaction was refused."""


class Interactions(GenerateContent):
    """The Gemini API with interactions; what it refuses goes to `generateContent`."""

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that creates the interaction."""
        if isinstance(job, ContentJob):
            return super().submit(job, key)
        model = job.model or self.model
        parameters = read_parameters(job, server=self.name)
        shape = choose_shape(job, model, parameters)
        config: dict[str, object] = {}
        if parameters.seed is not None:
            config["seed"] = parameters.seed
        if parameters.thinking_level:
            config["thinking_level"] = parameters.thinking_level
        images = [
            {
                "type": "image",
                "mime_type": image.media_type,
                "data": encode_image(image),
            }
            for image in job.images
        ]
        parts = [{"type": "text", "text": job.prompt}, *images]
        return HttpRequest(
            method="POST",
            path="interactions",
            json={
                "model": model,
                "input": parts if images else job.prompt,
                "response_format": [{"type": "image", **shape, "delivery": "inline"}],
                **({"generation_config": config} if config else {}),
                "background": True,
                "store": True,
            },
            # An image model might answer only when the image is drawn.
            timeout=job.timeout,
        )

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobAccepted | JobSucceeded | JobFailed:
        """Return the id of the interaction and its status."""
        if isinstance(job, ContentJob):
            return super().submitted(job, response)
        status = self.status(job, response)
        # An interaction that is not stored has no id, and has ended.
        if not (status.reference or isinstance(status, JobRunning)):
            return status
        return JobAccepted(reference=status.reference, status=status)

    def correct(
        self, job: ImageJob, refusal: ImagenError
    ) -> Exchange[ContentJob | None]:
        """Return the job for `generateContent`, unless the model does not exist."""
        if not isinstance(refusal, InvalidRequest):
            return None
        yield from self.find_model(job.model or self.model)
        names = ImageJob.__struct_fields__
        return ContentJob(**{name: getattr(job, name) for name in names})

    def poll(self, reference: str) -> HttpRequest:
        """Return the request for an interaction."""
        return HttpRequest(path=f"interactions/{quote_segment(reference)}")

    def status(self, job: ImageJob, response: HttpResponse) -> JobStatus:
        """Return the status of an interaction."""
        return read_interaction(response.json(object), server=self.name)

    def cancel(self, reference: str) -> HttpRequest:
        """Return the request that cancels an interaction."""
        path = f"interactions/{quote_segment(reference)}/cancel"
        return HttpRequest(method="POST", path=path)

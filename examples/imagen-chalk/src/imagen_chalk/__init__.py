"""Generate images with Chalk: the requests and responses of its API, as values."""

from typing import Literal

import msgspec

import imagen.backend as kit


class ChalkParameters(msgspec.Struct, frozen=True):
    """The parameters that `--set` accepts."""

    mood: Literal["cheerful", "grave"] = "cheerful"


class Drawing(msgspec.Struct, frozen=True):
    """A drawing as Chalk reports it."""

    id: str
    state: Literal["drawing", "done", "refused", "failed"]
    progress: float = 0.0
    seed: int | None = None
    price_micros: int | None = None


class Chalk:
    """The API of Chalk, which gives each drawing an id."""

    name = "Chalk"
    # Chalk answers with these only before it accepts a drawing.
    refuses_with = frozenset({502, 503})
    fails_with: frozenset[int] = frozenset()

    def capabilities(self) -> kit.Capabilities:
        """Return the capabilities that Chalk documents."""
        return kit.Capabilities(
            model="chalk-1",
            sizes=kit.SizeRule(multiple=8, smallest=64, largest=2048),
            largest_seed=2**32 - 1,
            formats=("image/png",),
            parameters={"mood": "cheerful or grave"},
        )

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        """Return the request that creates the drawing; Chalk chooses its id itself."""
        parameters = kit.decode_options(job, ChalkParameters, vendor=self.name)
        body = {
            "prompt": job.prompt,
            "width": job.size.width,
            "height": job.size.height,
            "seed": job.seed,
            "mood": parameters.mood,
        }
        return kit.HttpRequest(method="POST", path="v1/drawings", json=body)

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobAccepted:
        """Return the id of the drawing."""
        return kit.JobAccepted(reference=response.json(Drawing).id)

    def poll(self, reference: str) -> kit.HttpRequest:
        """Return the request for the state of the drawing."""
        return kit.HttpRequest(path=_path(reference))

    def status(self, job: kit.ImageJob, response: kit.HttpResponse) -> kit.JobStatus:
        """Return the state of the drawing."""
        drawing = response.json(Drawing)
        match drawing.state:
            case "drawing":
                return kit.JobRunning(fraction=drawing.progress)
            case "refused":
                return kit.JobFailed(error=_refused())
            case "failed":
                message = f"Chalk failed to finish the drawing {drawing.id}."
                return kit.JobFailed(error=kit.BackendError(message))
        price = drawing.price_micros
        cost = (
            kit.Cost() if price is None else kit.Cost(micros=price, source="reported")
        )
        image = kit.JobOutput(url=f"{_path(drawing.id)}/image", seed=drawing.seed)
        return kit.JobSucceeded(outputs=(image,), model="chalk-1", cost=cost)

    def cancel(self, reference: str) -> kit.HttpRequest:
        """Return the request that deletes the drawing."""
        return kit.HttpRequest(method="DELETE", path=_path(reference))

    def check(self) -> kit.HttpRequest:
        """Return a request that is free and needs the key."""
        return kit.HttpRequest(path="v1/account")

    def error(self, response: kit.HttpResponse) -> kit.ImagenError | None:
        """Return the error that only Chalk has; the others are the usual ones."""
        return _refused() if response.status == 422 else None


def _refused() -> kit.ImagenError:
    return kit.Refused("Chalk refused the prompt.", hint="Change the prompt.")


def _path(reference: str) -> str:
    return f"v1/drawings/{kit.quote_segment(reference)}"


adapter = kit.http_adapter(
    Chalk,
    summary="Chalk drawings, by an imaginary vendor.",
    base_url="https://api.chalk.example",
    key_env="CHALK_API_KEY",
)

"""What becomes of one prediction at our Replicate, from look to look."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.replicate.models import Model, black, data_uri, drawn
from tests.integration.replicate.trouble import PredictionTrouble

OVER = {"succeeded", "failed", "canceled", "aborted"}
FREE = {"aborted", "failed"}
STEPS = 4


@dataclass
class Prediction:
    """One prediction; it advances with each poll, or as time passes."""

    id: str
    model: Model
    version: str
    given: dict[str, Any]
    created: datetime
    trouble: PredictionTrouble
    files_at: str
    deployment: str | None = None
    looks_needed: int = 2
    seconds: float = 0.0

    status: str = "starting"
    looks: int = 0
    cancelled: bool = False
    """Whether it was told to stop."""
    contents: list[bytes] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    asked_files: int = 0

    @property
    def paid(self) -> bool:
        """Whether it costs: everything that is accepted does, unless it fails."""
        if self.status == "canceled":
            return self.fraction > 0
        return self.status not in FREE

    @property
    def seed(self) -> int:
        if self.trouble.seed_used is not None:
            return self.trouble.seed_used
        return int(self.given.get("seed", 42069))

    @property
    def format(self) -> str:
        default = self.model.properties.get("output_format", {}).get("default", "png")
        return str(self.given.get("output_format", default))

    @property
    def asked(self) -> int:
        """How many images were asked for."""
        names = ("num_outputs", "number_of_images")
        return int(next((self.given[n] for n in names if n in self.given), 1))

    @property
    def fraction(self) -> float:
        if self.trouble.never_begins:
            return 0.0
        seconds = self.seconds if self.trouble.seconds is None else self.trouble.seconds
        if self.trouble.never_ends:
            return min(0.5, self.looks / self.looks_needed)
        if seconds:
            return min(1.0, (time.monotonic() - self.began) / seconds)
        return min(1.0, self.looks / self.looks_needed)

    def go_on(self, *, look: bool = False) -> None:
        """Be as far as it should be by now."""
        self.looks += look
        if self.status in OVER:
            return
        if self.fraction >= 1:
            self.end(self.trouble.ends)
        elif self.fraction > 0:
            self.status = "processing"

    def end(self, status: str) -> None:
        """Be over."""
        self.status = status
        if status == "succeeded":
            self.contents = [self._file() for _ in range(self._made)]

    def cancel(self) -> None:
        """Stop, unless it does not hear."""
        self.cancelled = True
        self.go_on()
        if self.status in OVER:
            return
        self.end("succeeded" if self.trouble.ignores_cancel else "canceled")

    def finish_now(self) -> None:
        """Finish at once, for a request that waits for it."""
        self.looks = self.looks_needed
        self.go_on()

    def shown(self, *, early: bool = False, listed: bool = False) -> dict[str, Any]:
        """What the API says of it.

        Args:
            early: The answer to a request that waited: files, but no figures, no end.
            listed: It stands in a list.
        """
        removed = self.trouble.removed and self.status == "succeeded"
        official = self.model.official and not self.deployment
        said: dict[str, Any] = {
            "id": self.id,
            "model": self._listed_name(),
            "version": self.trouble.listed_version
            or ("hidden" if official else self.version),
            "input": {} if removed else self._echo(),
            "logs": None if removed else self._log(),
            "output": None if removed else self._output(),
            "data_removed": removed,
            "error": self.trouble.error if self.status == "failed" else None,
            "source": "api",
            "status": self._state(early=early),
            "created_at": self._written(self.created),
            "urls": {
                "get": f"https://somewhere.example/predictions/{self.id}",
                "cancel": f"https://somewhere.example/predictions/{self.id}/cancel",
                "web": f"https://somewhere.example/p/{self.id}",
            },
        }
        if self.deployment:
            said["deployment"] = self.deployment
        if self.fraction > 0:
            said["started_at"] = self._written(self.created + timedelta(seconds=0.1))
        if self.status in OVER and not early:
            said["completed_at"] = self._written(self.created + timedelta(seconds=1))
            if self.fraction > 0:
                said["metrics"] = self._metrics()
        if listed:
            said.pop("logs")
        return said

    def _state(self, *, early: bool) -> str:
        if self.status == "processing" and self.trouble.state is not None:
            return self.trouble.state
        return "processing" if early and self.contents else self.status

    def _listed_name(self) -> str:
        pattern = self.trouble.listed_as or "{name}"
        return pattern.format(name=self.model.name, version=self.version)

    @property
    def _made(self) -> int:
        return max(0, self.asked - self.trouble.withholds) + self.trouble.extra

    def _metrics(self) -> dict[str, Any]:
        if self.trouble.metrics is not None:
            return dict(self.trouble.metrics)
        figures: dict[str, Any] = {"predict_time": 0.5, "total_time": 0.75}
        if self.model.official and self.status == "succeeded":
            figures["image_count"] = self.asked
        return figures

    def _echo(self) -> Mapping[str, Any]:
        if not self.trouble.adds_defaults:
            return self.given
        defaults = {
            name: said["default"]
            for name, said in self.model.properties.items()
            if said.get("default") is not None
        }
        return {**defaults, **self.given}

    def _log(self) -> str:
        if self.trouble.silent_log:
            return ""
        if self.trouble.only_log is not None:
            return self.trouble.only_log
        lines = (
            ["100%|##########| 9/9 [00:01<00:00]"] if self.trouble.loads_first else []
        )
        lines += [f"Using seed: {self.seed}", self.trouble.logs]
        steps = self._steps
        for done in range(int(self.fraction * steps) + 1):
            percent = 100 * done // steps
            lines.append(
                f"{percent:3}%|{'█' * (percent // 10):10}| {done}/{steps} [00:00]"
            )
        return "\n".join(lines) if self.fraction > 0 else ""

    @property
    def _steps(self) -> int:
        for name in ("num_inference_steps", "steps"):
            if name in self.model.properties:
                default = self.model.properties[name]["default"]
                return int(self.given.get(name, default))
        return STEPS

    def _output(self) -> object:
        if self.trouble.output == "growing" and self.status == "processing":
            return [self._address(0)]
        if self.status != "succeeded" or self.trouble.output == "none":
            return None
        if self.trouble.output == "late" and self.looks <= self.looks_needed:
            return None
        addresses = [self._address(number) for number in range(len(self.contents))]
        match self.trouble.output:
            case "data":
                addresses = [
                    data_uri(content, kind=self.format) for content in self.contents
                ]
            case "relative":
                addresses = [f"/out/{each.partition('/out/')[2]}" for each in addresses]
            case "schemeless":
                addresses = [each.removeprefix("http:") for each in addresses]
            case "capitals":
                addresses = [f" {each.replace('http', 'HTTP')}\n" for each in addresses]
            case "base64":
                addresses = [
                    data_uri(content, kind=self.format).partition(",")[2]
                    for content in self.contents
                ]
            case "json":
                return json.dumps({"images": addresses})
            case "dict":
                return {"images": addresses, "seed": self.seed, "note": "ok"}
            case "nulls":
                return [None, *addresses, None]
            case "text":
                return "a poem about a fox"
            case _:
                pass
        return addresses if self.model.many else (addresses or [None])[0]

    def _address(self, number: int) -> str:
        if self.trouble.leads_to is not None:
            return self.trouble.leads_to
        return f"{self.files_at}/{self.id}/out-{number}.{self.format}"

    def _file(self) -> bytes:
        match self.trouble.file:
            case "svg":
                return b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'
            case "html":
                return b"<!doctype html><title>Sign in</title>"
            case "black":
                return black(self.format)
            case _:
                return drawn(self.given, seed=self.seed, kind=self.format)

    def _written(self, moment: datetime) -> str:
        """As Replicate writes times: with any number of decimals."""
        text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return text + "75Z" if self.looks % 2 else text[:-3] + "Z"

"""Many paid requests through a server that is killed repeatedly.

Each client repeats its request with the same Idempotency-Key until it has a response.
"""

import json
import random
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock, Thread

import httpx
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.running import GENERATIONS, PATIENCE, Running

LONGEST = 600.0
A_MOMENT = 0.05


class Drill:
    """Runs the requests, kills the server, and counts the images.

    Attributes:
        answers: The image ids of each key.
        refused: The number of failed keys by error code.
        kills: The number of times that the server was killed.
    """

    def __init__(
        self, folder: Path, *, requests: int, kills: int, at_once: int, seed: int
    ) -> None:
        self.answers: dict[int, list[str]] = {}
        self.refused: Counter[str] = Counter()
        self.kills = 0
        self._requests, self._kills_planned, self._at_once = requests, kills, at_once
        self._random = random.Random(seed)
        self._lock = Lock()
        self._up = Event()
        self.server = ReplicateServer(seconds=0.05)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.server.start()
        backend = {
            "adapter": "replicate",
            "model": SCHNELL,
            "base_url": self.server.url,
            "price": 0.003,
        }
        self.running = Running(
            folder,
            {
                "backends": {"paid": backend},
                "serve": {"concurrency": at_once},
                "budget": {"week_usd": 1_000_000},
            },
            env={"REPLICATE_API_TOKEN": self.server.token},
            addr=f":{port}",
        )

    def run(self) -> None:
        self.running.start()
        self._up.set()
        killer = Thread(target=self._kill_now_and_then, daemon=True)
        killer.start()
        with ThreadPoolExecutor(self._at_once) as pool:
            list(pool.map(self._ask, range(self._requests)))
        killer.join()

    def finish(self) -> None:
        """Wait until the server has no open requests, and stop it."""
        for _ in range(round(LONGEST / A_MOMENT)):
            if not self.running.metric("imagen_requests_open") and not self._spooled():
                break
            Event().wait(A_MOMENT)
        self.running.stop()
        self.running.http.close()
        self.server.stop()

    def found(self) -> dict[str, int]:
        """Return the number of images according to each record."""
        notes = list(self.running.images.rglob("*.json"))
        predictions = {
            json.loads(note.read_bytes())["parameters"]["prediction"] for note in notes
        }
        return {
            "paid": self.server.paid,
            "images": len(self.running.stored),
            "sidecars": len(notes),
            "predictions": len(predictions),
            "answered": len({each for ids in self.answers.values() for each in ids}),
        }

    def _spooled(self) -> bool:
        spool = self.running.account / "spool"
        return spool.is_dir() and any(spool.iterdir())

    def _kill_now_and_then(self) -> None:
        step = self._requests / (self._kills_planned + 1)
        for number in range(1, self._kills_planned + 1):
            target = step * number
            while len(self.answers) + sum(self.refused.values()) < target:
                Event().wait(0.005)
            Event().wait(self._random.uniform(0, 0.1))
            self._up.clear()
            self.running.kill()
            self.kills += 1
            self.running.start()
            self._up.set()

    def _ask(self, number: int) -> None:
        asked = {"prompt": f"fox {number}", "response_format": "url"}
        headers = {"Idempotency-Key": f"drill-{number}"}
        for _ in range(round(LONGEST / A_MOMENT)):
            assert self._up.wait(PATIENCE), "the server did not start again"
            try:
                answer = self.running.http.post(
                    GENERATIONS, json=asked, headers=headers
                )
            except httpx.HTTPError as error:
                code = self.running.exit_code
                if code not in {None, -signal.SIGKILL}:
                    raise AssertionError(f"the server ended with {code}") from error
                Event().wait(0.02)
                continue
            if answer.headers.get("x-should-retry") == "true":
                Event().wait(A_MOMENT)
                continue
            with self._lock:
                if answer.status_code == 200:
                    data = answer.json()["data"]
                    self.answers[number] = [image["id"] for image in data]
                else:
                    self.refused[answer.json()["error"]["code"]] += 1
            return
        raise AssertionError(f"request {number} never had an answer")

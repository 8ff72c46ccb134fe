"""Start `imagen serve` as a process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Self

import httpx
import yaml

IMAGEN = str(Path(sys.executable).with_name("imagen"))
PATIENCE = 30.0


class Running:
    """`imagen serve` as a process, by default on a free port.

    Args:
        folder: For its config, its database and its images.
        config: The config without the output folder.
        env: Additional environment variables.
        addr: The listen address.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, object] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        addr: str = ":0",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.images = folder / "images"
        self.account = folder / "account"
        self.log = folder / "log.txt"
        self.config = folder / "imagen.yaml"
        given = {"output": {"dir": str(self.images)}, **(config or {})}
        self.config.write_text(yaml.safe_dump(given))
        kept = {"PATH", "LANG", "LC_ALL", "TZ"}
        self.env = {
            **{name: value for name, value in os.environ.items() if name in kept},
            "HOME": str(folder),
            "IMAGEN_DATA_DIR": str(self.account),
            "PYTHONWARNINGS": "error",
            **(env or {}),
        }
        self.program = [IMAGEN]
        self._addr = addr
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        with self.log.open("ab") as log:
            begun = log.tell()
            self.process = subprocess.Popen(
                [
                    *self.program,
                    "serve",
                    *("--addr", self._addr),
                    *("--config", str(self.config)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self.env,
                cwd=self.config.parent,
            )
        port = self._said(r"listening on http://\S*:(\d+)", begun)
        self.url = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            client.get(f"{self.url}/health", timeout=PATIENCE).raise_for_status()
        return self

    def kill(self) -> None:
        """Kill the process, as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE * 2)

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)  # type: ignore[arg-type]

    @property
    def stored(self) -> list[Path]:
        return sorted(
            path
            for path in self.images.rglob("*")
            if path.is_file() and path.suffix != ".json"
        )

    def _said(self, pattern: str, begun: int) -> str:
        """Read the log until the pattern matches, and return its group."""
        assert self.process is not None
        with self.log.open("rb") as log:
            log.seek(begun)
            words = b""
            while True:
                words += log.read()
                found = re.search(pattern, words.decode())
                if found:
                    return found[1]
                try:
                    self.process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"the server exited: {words.decode()}")


def until(so: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    moment = Event()
    for _ in range(round(PATIENCE / 0.02)):
        if so():
            return
        moment.wait(0.02)
    raise AssertionError(f"still false after {PATIENCE:.0f} s")

"""Start `imagen serve` as a process."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Self

import httpx
import yaml

from imagen.adapters.database.connection import FILE

IMAGEN = str(Path(sys.executable).with_name("imagen"))
GENERATIONS = "/v1/images/generations"
PATIENCE = 120.0
"""Seconds after which something hangs; nothing takes that long under any load."""


class Running:
    """`imagen serve` as a process, by default on a free port.

    Args:
        folder: For its config, its database and its images; it runs there.
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
        self.folder = folder
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
        self.port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.http.close()
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
                cwd=self.folder,
            )
        self.port = int(self._wait_for_log(r"listening on http://\S*:(\d+)", begun))
        self.url = f"http://127.0.0.1:{self.port}"
        self.http.base_url = httpx.URL(self.url)
        # The listener is open: the request waits until the server accepts it.
        self.http.get("/health").raise_for_status()
        return self

    def kill(self) -> None:
        """Kill the process, as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the process, and return the exit code."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.send_signal(number)
        return self.wait()

    def restart(self) -> None:
        """Kill the server, and start the next one."""
        self.kill()
        self.start()

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while the process runs."""
        assert self.process is not None
        return self.process.poll()

    def restart_if_dead(self) -> None:
        if self.process is None or self.exit_code is not None:
            self.start()

    def clear(self, headers: Mapping[str, str] | None = None) -> None:
        """Delete images, calls, spending, keys and ended jobs while the server runs."""
        self.http.delete("/gallery/api/jobs", headers=headers).raise_for_status()
        # The server creates its database when it first needs it.
        self.http.get("/gallery/api/counts", headers=headers).raise_for_status()
        with closing(sqlite3.connect(self.account / FILE, timeout=PATIENCE)) as base:
            base.execute("PRAGMA recursive_triggers = ON")
            with base:
                for table in ("calls", "refs", "usage", "images", "requests"):
                    base.execute(f"DELETE FROM {table}")
        for path in self.images.glob("*"):
            path.unlink()

    @cached_property
    def http(self) -> httpx.Client:
        """A client without a key, for all requests of the tests."""
        return self.client()

    def client(self, **options: object) -> httpx.Client:
        # No TLS: reading the root certificates takes longer than most of the tests.
        return httpx.Client(
            base_url=self.url,
            timeout=PATIENCE,
            verify=False,
            **options,  # type: ignore[arg-type]
        )

    def ask(self, prompt: str = "a cat", **fields: object) -> httpx.Response:
        """Request a small image."""
        asked = {"prompt": prompt, "size": "64x64", **fields}
        return self.http.post(GENERATIONS, json=asked)

    def metric(self, name: str, **labels: str) -> int:
        """Return the sum of a metric over the series that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            int(float(line.split()[-1]))
            for line in self.http.get("/metrics").text.splitlines()
            if re.match(rf"{name}[{{ ]", line) and all(each in line for each in wanted)
        )

    def open_gate(self, name: str) -> None:
        """Let the requests `wait for NAME` of the probe adapter finish."""
        (self.folder / name).touch()

    @property
    def stored(self) -> list[Path]:
        return sorted(
            path
            for path in self.images.rglob("*")
            if path.is_file() and path.suffix != ".json"
        )

    @property
    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def _wait_for_log(self, pattern: str, begun: int) -> str:
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


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    pause = Event()
    for _ in range(round(PATIENCE / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"still false after {PATIENCE:.0f} s")

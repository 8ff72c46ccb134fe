"""Start the command by forking a process that has its modules loaded.

    launcher = Launcher()
    process = launcher.start(["sync"], cwd=folder, env=env, files=(stdin, out, err))
    process.kill()
    process.wait()

Starting Python and importing the command's libraries takes half a second of CPU time, a
fork a fiftieth of that. A fork is a process like any other: it has an exit code, and it
can be killed while its threads work.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NoReturn

import msgspec

from imagen.adapters.backends import mock

ROOT = Path(__file__).parents[3]
STARTED, STOPPED = b"started", b"stopped"
MODULES = (
    *("postgrest", "pydantic.dataclasses", "storage3", "yaml"),
    "imagen.adapters.database.journal",
    "imagen.adapters.imaging.convert",
    "imagen.adapters.remote.client",
    "imagen.adapters.storage.local",
    "imagen.adapters.supabase.images",
    "imagen.adapters.supabase.ledger",
    "imagen.adapters.system.files",
    "imagen.bootstrap.generation",
    "imagen.cli.app",
    *(f"imagen.cli.{name}" for name in ("fetch", "generate", "history", "usage")),
    "imagen.cli.sync",
    "imagen.registry",
    "imagen.settings.load",
    "imagen.usecases.fetch",
    "imagen.usecases.sync",
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that the command sends to itself.

    Attributes:
        step: The method that it has reached, such as `package.module:Class.method`.
        done: Whether the method has returned, or has not begun.
        number: The number of the signal.
    """

    step: str
    done: bool
    number: int = signal.SIGKILL

    def install(self) -> None:
        """Have the method send the signal."""
        module, _, name = self.step.partition(":")
        owner, _, method = name.partition(".")
        kind = getattr(import_module(module), owner)
        original = getattr(kind, method)

        # To this thread, which would go on for a moment if another one took the signal.
        def stop_at(*given: object, **named: object) -> object:
            if not self.done:
                signal.pthread_kill(threading.get_ident(), self.number)
            result = original(*given, **named)
            if self.done:
                signal.pthread_kill(threading.get_ident(), self.number)
            return result

        setattr(kind, method, stop_at)


class _Order(msgspec.Struct, kw_only=True):
    words: list[str]
    cwd: str
    env: dict[str, str]
    fault: Fault | None


class Process:
    """A running command.

    Args:
        channel: The connection to the process that waits for it.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        said, [self._pidfd], _, _ = socket.recv_fds(channel, len(STARTED), 1)
        assert said == STARTED
        self._code: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; without effect if the command has ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def await_stop(self) -> None:
        """Wait until the command has stopped itself with SIGSTOP."""
        assert self._channel.recv(100) == STOPPED

    def wait(self, timeout: float = 120) -> int:
        """Return the exit code; negative for a signal.

        Raises:
            TimeoutError: the command has not ended in time.
        """
        if self._code is None:
            ready, _, _ = select.select([self._channel], [], [], timeout)
            if not ready:
                raise TimeoutError("the command has not ended")
            self._code = int(self._channel.recv(100))
            self._channel.close()
            os.close(self._pidfd)
        return self._code


class Launcher:
    """A process that forks itself to run commands, and that ends with this process."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.supabase.launcher"],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "error"},
            )
        assert self._channel.recv(len(STARTED)), "the process did not start"

    def start(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        files: Sequence[int],
        gate: int | None = None,
        fault: Fault | None = None,
    ) -> Process:
        """Start the command.

        Args:
            words: The command line.
            cwd: The working directory.
            env: The environment variables.
            files: The descriptors of stdin, stdout and stderr.
            gate: The reading end of a pipe. The command begins when its writing end
                is closed.
            fault: What stops the command.
        """
        mine, theirs = socket.socketpair()
        order = _Order(words=list(words), cwd=str(cwd), env=dict(env), fault=fault)
        with tempfile.TemporaryFile() as letter, theirs:
            letter.write(msgspec.json.encode(order))
            letter.seek(0)
            gates = [] if gate is None else [gate]
            descriptors = [theirs.fileno(), letter.fileno(), *files, *gates]
            socket.send_fds(self._channel, [b"x"], descriptors)
            return Process(mine)

    def close(self) -> None:
        """End the process that forks."""
        self._channel.close()
        self._server.wait(60)


def serve(channel: socket.socket) -> None:
    """Start commands until the other side closes the channel."""
    running = set[int]()
    channel.send(STARTED)
    while True:
        said, descriptors, _, _ = socket.recv_fds(channel, 1, 6)
        # Waited for, so that their CPU time counts as that of the tests.
        for each in list(running):
            if os.waitpid(each, os.WNOHANG if said else 0)[0]:
                running.remove(each)
        if not said:
            return
        supervisor = os.fork()
        if supervisor == 0:
            channel.close()
            _supervise(*descriptors)
        running.add(supervisor)
        for each in descriptors:
            os.close(each)


def _supervise(report: int, letter: int, *files: int) -> NoReturn:
    """Run the command in a child, report its exit code, and end."""
    with open(letter, "rb") as content:
        order = msgspec.json.decode(content.read(), type=_Order)
    child = os.fork()
    if child == 0:
        os.close(report)
        raise SystemExit(_run(order, *files))
    with socket.socket(fileno=report) as channel:
        # Before the child is waited for, so that its id cannot name another process.
        socket.send_fds(channel, [STARTED], [os.pidfd_open(child)])
        for each in files:
            os.close(each)
        with contextlib.suppress(BrokenPipeError):
            status = os.waitpid(child, os.WUNTRACED)[1]
            if os.WIFSTOPPED(status):
                channel.send(STOPPED)
                status = os.waitpid(child, 0)[1]
            channel.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(
    order: _Order,
    stdin: int,
    stdout: int,
    stderr: int,
    gate: int | None = None,
) -> int:
    from imagen.cli.app import main

    for standard, file in enumerate((stdin, stdout, stderr)):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    if order.fault is not None:
        order.fault.install()
    if gate is not None:
        os.read(gate, 1)
    return main(order.words)


def _load_modules() -> None:
    """Import what the commands import when they run."""
    for name in MODULES:
        import_module(name)
    for each in iter_modules(mock.__path__, f"{mock.__name__}."):
        import_module(each.name)


if __name__ == "__main__":
    _load_modules()
    with socket.socket(fileno=os.dup(0)) as channel_of_tests:
        serve(channel_of_tests)

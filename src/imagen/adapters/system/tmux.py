"""Run commands of the surrounding tmux server with a time limit.

Hand-made instead of libtmux: a few commands are needed, each with its own time limit.
"""

import re
from typing import Protocol

_PANE = re.compile(r"%[0-9]+", re.ASCII)


class TmuxError(Exception):
    """tmux is missing, did not answer in time, or failed; the message says which."""


class TmuxEnvironment(Protocol):
    """The environment variables that identify the tmux pane; "" outside tmux.

    Attributes:
        tmux: The value of `$TMUX`: socket, process id and session of the server.
    """

    tmux: str
    tmux_pane: str


class Tmux:
    """A client of the tmux server that this process runs in.

    Attributes:
        pane: The id of the pane, such as `%3`.
    """

    def __init__(self, environment: TmuxEnvironment) -> None:
        """Read the socket and the pane from the environment.

        Raises:
            TmuxError: the process does not run inside tmux.
        """
        self._socket = environment.tmux.rsplit(",", 2)[0]
        self.pane = environment.tmux_pane
        if not self._socket or not _PANE.fullmatch(self.pane):
            raise TmuxError("this is not inside a tmux session")

    def run(self, *words: str, timeout: float) -> str:
        """Run one tmux command and return its output.

        Args:
            words: The command and its arguments, which no shell interprets.
            timeout: Seconds for the answer; then the tmux client is killed.

        Raises:
            TmuxError: the command failed, or its outcome is unknown.
        """
        import subprocess  # noqa: PLC0415 - costs 10 ms, and is needed inside tmux only

        try:
            # -u: in a locale without UTF-8, tmux prints underscores for other letters.
            answer = subprocess.run(  # noqa: S603 - no shell
                ["tmux", "-u", "-S", self._socket, *words],  # noqa: S607 - the user's
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TmuxError(f"tmux did not answer within {timeout:g} s") from error
        except FileNotFoundError as error:
            raise TmuxError("tmux is not installed") from error
        except (OSError, ValueError) as error:
            raise TmuxError(f"tmux cannot be run: {error}") from error
        if answer.returncode:
            reason = " ".join(answer.stderr.decode(errors="replace").split())
            raise TmuxError(f"tmux failed: {reason or answer.returncode}")
        return answer.stdout.decode(errors="replace")

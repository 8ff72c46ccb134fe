"""Asks the tmux server that this runs in, and waits no longer than is said."""

import re
from typing import Protocol

_PANE = re.compile(r"%[0-9]+", re.ASCII)


class TmuxError(Exception):
    """tmux is not there, did not answer in time, or did not do it; says why."""


class TmuxEnvironment(Protocol):
    """What has to be known of the environment."""

    @property
    def tmux(self) -> str:
        """What `$TMUX` says: the server's socket, its process, the session."""
        ...

    @property
    def tmux_pane(self) -> str:
        """What `$TMUX_PANE` says."""
        ...


class Tmux:
    """The server and the pane that this runs in.

    Attributes:
        pane: The pane, such as `%3`.
    """

    def __init__(self, inside: TmuxEnvironment) -> None:
        """Take both from the environment.

        Raises:
            TmuxError: this is not inside tmux.
        """
        self._socket = inside.tmux.rsplit(",", 2)[0]
        self.pane = inside.tmux_pane
        if not self._socket or not _PANE.fullmatch(self.pane):
            raise TmuxError("this is not inside a tmux session")

    def run(self, *words: str, patience: float) -> str:
        """Run one command of tmux, each word as it stands, and return what it prints.

        Args:
            words: The command and its arguments; no shell sees them.
            patience: Seconds for the answer; then the client is killed.

        Raises:
            TmuxError: it was not done, or nobody knows whether it was.
        """
        import subprocess  # noqa: PLC0415 - costs 10 ms, and is needed inside tmux only

        try:
            # -u: without it, tmux has underscores for what the locale cannot say.
            answer = subprocess.run(  # noqa: S603 - no shell
                ["tmux", "-u", "-S", self._socket, *words],  # noqa: S607 - the user's
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TmuxError(f"tmux did not answer within {patience:g} s") from error
        except FileNotFoundError as error:
            raise TmuxError("tmux is not installed") from error
        except (OSError, ValueError) as error:
            raise TmuxError(f"tmux cannot be run: {error}") from error
        if answer.returncode:
            said = " ".join(answer.stderr.decode(errors="replace").split())
            raise TmuxError(f"tmux says: {said or answer.returncode}")
        return answer.stdout.decode(errors="replace")

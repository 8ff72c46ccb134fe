"""Open each new image with the image viewer of the desktop."""

import subprocess
import sys
from shutil import which

from imagen.ports.preview import PreviewError

_MAC = sys.platform == "darwin"
_OPENER = "open" if _MAC else "xdg-open"
# In the background, because xdg-open can wait until the viewer is closed.
_DETACH = '"$0" "$1" </dev/null >/dev/null 2>&1 &'


class DesktopPreview:
    """A preview in the viewer that the desktop has for the type of the file.

    Args:
        desktop: Whether there is a desktop; macOS always has one.
    """

    def __init__(self, *, desktop: bool) -> None:
        self._desktop = desktop or _MAC

    def show(self, location: str) -> None:
        """Start the viewer, and do not wait for it.

        Raises:
            PreviewError: there is no desktop, or no program that opens files on it.
        """
        if not self._desktop:
            raise PreviewError(
                "--open needs a desktop, and neither $DISPLAY nor $WAYLAND_DISPLAY is"
                " set"
            )
        program = which(_OPENER)
        if program is None:
            raise PreviewError(f"--open needs {_OPENER}, which is not installed")
        try:
            # The words are arguments of the script, which quotes them.
            command = ["/bin/sh", "-c", _DETACH, program, location]
            subprocess.run(command, check=True)  # noqa: S603 - see above
        except (OSError, subprocess.SubprocessError) as error:
            raise PreviewError(f"{_OPENER} failed: {error}") from error

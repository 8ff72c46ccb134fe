"""The command on a terminal that may answer late, because the machine is busy."""

import sys

# The limits of one and three seconds are for users; a test must not depend on them.
_RUN = """
import sys
from imagen.adapters.display.terminal import capability_probe, viewer
capability_probe.TIMEOUT = 60.0
capability_probe.TMUX_TIMEOUT = viewer.TMUX_TIMEOUT = 60.0
from imagen.cli.app import main
sys.exit(main())
"""
PATIENT_IMAGEN = [sys.executable, "-W", "error", "-c", _RUN]

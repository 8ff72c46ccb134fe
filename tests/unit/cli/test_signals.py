import subprocess
import sys

TWICE = """
import signal, sys
from imagen.cli.signals import StopSignals

with StopSignals() as stop:
    signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGTERM)
sys.exit(stop.exit_code)
"""


def test_the_same_signal_again_does_not_kill_the_process_while_it_exits() -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], check=False, timeout=60)

    assert ended.returncode == 143

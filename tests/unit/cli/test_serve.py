"""What `imagen serve` needs, and how it says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from imagen.domain.errors import UsageError
from imagen.server.listener import parse_address

WITHOUT = """
import sys
sys.modules["{module}"] = None
from imagen.cli.app import main
raise SystemExit(main(["serve"]))
"""


@pytest.mark.parametrize("module", ["litestar", "uvicorn", "prometheus_client"])
def test_without_the_extra_a_sentence_says_how_to_get_it(
    tmp_path: Path, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module)],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "install 'imagen-studio[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        (":8080", "127.0.0.1:8080", True),
        ("8080", "127.0.0.1:8080", True),
        ("unix:/run/imagen.sock", "unix:/run/imagen.sock", True),
        ("localhost:1", "localhost:1", True),
        ("[::1]:80", "[::1]:80", True),
        ("127.0.0.2:80", "127.0.0.2:80", True),
        ("0.0.0.0:80", "0.0.0.0:80", False),
        ("[::]:80", "[::]:80", False),
        ("box.local:80", "box.local:80", False),
    ],
)
def test_reads_an_address(text: str, shown: str, *, loopback: bool) -> None:
    address = parse_address(text)

    assert (str(address), address.is_loopback) == (shown, loopback)


@pytest.mark.parametrize("text", ["", "host", "unix:", ":x", ":70000", ":-1", ":٣"])
def test_says_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)

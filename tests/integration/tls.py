"""A certificate that is its own CA, for a server of a test."""

import ssl
import subprocess
from pathlib import Path

import pytest


def make_certificate(folder: Path) -> Path:
    """Make `cert.pem` and `key.pem` for 127.0.0.1 and a.example; return the folder."""
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:a.example"
        " -keyout key.pem -out cert.pem"
    )
    try:
        subprocess.run(words.split(), cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl makes no certificate here")
    return folder


def load_certificate(folder: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server that has the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context

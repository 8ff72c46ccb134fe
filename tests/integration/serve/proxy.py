"""Proxies in front of a server: nginx that cuts long requests, and Caddy."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATHS = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
NGINX = shutil.which("nginx", path=PATHS)
CADDY = shutil.which("caddy", path=PATHS)
DEPLOY = Path(__file__).parents[3] / "docs/deploy.md"
CONFIG = """
daemon off; master_process off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_max_body_size 64m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{to}; proxy_read_timeout {timeout}; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, *, to: int, timeout: str) -> Iterator[str]:
    """Run nginx in front of a port of this machine, and yield its URL."""
    assert NGINX is not None
    port = _find_free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, to=to, timeout=timeout))
    with _run([NGINX, "-p", str(folder), "-c", str(config)], port) as url:
        yield url


@contextmanager
def caddy(folder: Path, *, to: int) -> Iterator[str]:
    """Run Caddy with the first site of docs/deploy.md, without TLS; yield its URL."""
    assert CADDY is not None
    port = _find_free_port()
    site = re.search(
        r"## Caddy.*?```\n.*?\{\n(.*?\n\})\n", DEPLOY.read_text(), re.DOTALL
    )
    assert site is not None
    directives = site[1].replace("127.0.0.1:8080", f"127.0.0.1:{to}")
    config = folder / "Caddyfile"
    config.write_text(
        f"{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{\n{directives}\n"
    )
    command = [CADDY, "run", "--config", str(config), "--adapter", "caddyfile"]
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with _run(command, port, env=env) as url:
        yield url


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def _run(
    command: list[str], port: int, *, env: dict[str, str] | None = None
) -> Iterator[str]:
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"the proxy ended with code {process.wait(0.02)}")

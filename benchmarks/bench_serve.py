"""Compare `imagen serve` with LiteLLM and a bare handler on an instant upstream.

Only imagen stores files. The time to create a file differs a hundredfold between disks
(ext4 without a journal, as in small virtual machines, walks over every file that was
deleted in the last minutes), so it is measured and printed. The servers are compared
with files in memory, if there is such a folder; the cost of the disk is printed too.
"""

import asyncio
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
from benchmarks.common import IMAGEN, Verdicts, arguments
from benchmarks.serve import load

HERE = Path(__file__).parent / "serve"
LITELLM = os.environ.get("IMAGEN_BENCH_LITELLM") or shutil.which("litellm")
MANY = 16
TIMES_LITELLM = 5.0
ADDED_MS = 4.0
KEY = "sk-0123456789abcdef"
FACTOR = 1.15
MEMORY = Path("/dev/shm")
ROOM = 256 * 2**20
"""Bytes for the images of all rounds."""


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int = 5
    requests: int = 600
    alone: int = 60
    at_once: int = 1000
    crowds: int = 6
    slow: float = 3.0
    """Seconds that the backend takes for each request of the crowd."""


SMOKE = Size(rounds=1, requests=20, alone=3, at_once=10, crowds=2, slow=0.05)


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    size, verdicts = SMOKE if smoke else Size(), Verdicts(smoke=smoke)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        memory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=memory_folder()))
        )
        for name, place in (("in memory", memory), ("on the disk", folder)):
            print(f"a new file {name}: {new_file(place):.0f} µs")
        upstream = stack.enter_context(
            run_listening([sys.executable, str(HERE / "upstream.py")])
        )
        ports = {"upstream": upstream}
        ports["bare handler"] = stack.enter_context(
            run_listening([sys.executable, str(HERE / "bare.py"), str(upstream)])
        )
        servers = [
            ("imagen serve", memory, False),
            ("imagen serve on the disk", folder, False),
            ("imagen serve on the disk, paid", folder, True),
        ]
        for name, place, paid in servers[:1] if smoke else servers:
            ports[name] = stack.enter_context(
                run_imagen(place / str(paid), upstream, paid=paid)
            )
        if LITELLM and not smoke:
            ports["LiteLLM"] = stack.enter_context(run_litellm(folder, upstream))
        else:
            print("without LiteLLM: not installed ($IMAGEN_BENCH_LITELLM), or smoke")
        compare(ports, size, verdicts)
    measure_crowd(size, verdicts)
    return verdicts.exit_code()


def compare(ports: Mapping[str, int], size: Size, verdicts: Verdicts) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    alone: dict[str, list[float]] = {name: [] for name in ports}
    for turn in range(size.rounds + 1):
        for name, port in ports.items():
            requests = size.requests // (4 if name == "LiteLLM" else 1)
            took, _ = run(port, connections=MANY, requests=requests)
            _, each = run(port, connections=1, requests=size.alone)
            if turn:
                rates[name].append(requests / took)
                alone[name].append(statistics.median(each) * 1000)
    base = statistics.median(alone["upstream"])
    for name in ports:
        rate, ms = statistics.median(rates[name]), statistics.median(alone[name])
        print(
            f"{name}: {rate:.0f} requests/s at {MANY} connections; alone {ms:.2f} ms, "
            f"added {ms - base:.2f} ms"
        )
    ours = statistics.median(rates["imagen serve"])
    if "LiteLLM" in rates:
        ratio = ours / statistics.median(rates["LiteLLM"])
        verdicts.at_least("imagen serve, in times of LiteLLM", ratio, TIMES_LITELLM)
    added = statistics.median(alone["imagen serve"]) - base
    verdicts.at_most("added latency at one connection", added, ADDED_MS, " ms")


def measure_crowd(size: Size, verdicts: Verdicts) -> None:
    """Send 1,000 requests to a slow backend six times, and compare the memory."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        slow = stack.enter_context(
            run_listening([sys.executable, str(HERE / "upstream.py"), str(size.slow)])
        )
        port, pid = stack.enter_context(
            imagen_process(folder, slow, concurrency=size.at_once)
        )
        seen = []
        for _ in range(size.crowds):
            took, _ = run(port, connections=size.at_once, requests=size.at_once)
            seen.append(total_memory(pid))
            print(
                f"{size.at_once} at once on a backend that takes {size.slow:g} s: "
                f"{took:.1f} s, {seen[-1]:.0f} MB"
            )
        what = "memory after the last, in times of the second"
        verdicts.at_most(what, seen[-1] / seen[1], FACTOR)


def run(port: int, *, connections: int, requests: int) -> tuple[float, list[float]]:
    headers = {"authorization": f"Bearer {KEY}"}
    return asyncio.run(
        load.ask(port, connections=connections, requests=requests, headers=headers)
    )


def memory_folder() -> str | None:
    """Return a folder in memory with enough space; None for the default folder."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        return str(MEMORY)
    print("no folder in memory has enough space: using the disk")
    return None


def new_file(folder: Path) -> float:
    """Return the median time to create a file, in µs."""
    took = []
    for number in range(200):
        began = time.perf_counter()
        os.close(os.open(folder / f"new{number}", os.O_WRONLY | os.O_CREAT))
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


def port_in(log: Path) -> int:
    for _ in range(600):
        if found := re.search(r"listening on http://\S*:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise SystemExit(log.read_text())


def total_memory(pid: int) -> float:
    """Return the resident memory of a server and its workers, in MB."""
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(resident_memory(each) for each in (pid, *workers))


def resident_memory(pid: int | str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


@contextmanager
def run_listening(command: list[str]) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def run_imagen(folder: Path, upstream: int, *, paid: bool) -> Iterator[int]:
    with imagen_process(folder, upstream, paid=paid) as (port, _):
        yield port


@contextmanager
def imagen_process(
    folder: Path, upstream: int, *, paid: bool = False, concurrency: int = MANY
) -> Iterator[tuple[int, int]]:
    plugin = folder / "plugin" / "instant-1.0.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: instant\nVersion: 1.0\n"
    )
    (plugin / "entry_points.txt").write_text(
        "[imagen.backends]\ninstant = instant:adapter\n"
    )
    config = folder / "imagen.yaml"
    config.write_text(
        f"""
output: {{dir: {folder / "images"}}}
serve: {{concurrency: {concurrency}}}
backends:
  instant:
    adapter: instant
    base_url: http://127.0.0.1:{upstream}
    paid: {str(paid).lower()}
"""
    )
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(folder / "plugin")]),
        "IMAGEN_DATA_DIR": str(folder / "data"),
    }
    command = [IMAGEN, "serve", "--addr", ":0", "--config", str(config)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=env)
    try:
        yield port_in(folder / "log.txt"), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def run_litellm(folder: Path, upstream: int) -> Iterator[int]:
    config = folder / "litellm.yaml"
    config.write_text(
        f"""
model_list:
  - model_name: instant
    litellm_params:
      model: openai/instant
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-none
general_settings: {{master_key: {KEY}}}
"""
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        LITELLM,
        "--config",
        str(config),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with (folder / "litellm.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                httpx.get(
                    f"http://127.0.0.1:{port}/health/liveliness"
                ).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield port
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

"""ComfyUI: one image, beside a minimal raw script on the same server in the same run.

The raw script does the least that gives a file: submit, wait on the socket for the end,
fetch, write, fsync. It keeps nothing of how the image was made, tells no progress, and
waits for ever for a job that is gone.

    python -m benchmarks.bench_comfyui [--step SECONDS] [--rounds N]

The server is the scripted one of the tests, in a process of its own. A step takes as
long as the quickest that was seen on a real one (SD1.5 at 64x64, 0.07 s); with --step 0
an image takes no time at all, and what is left is overhead on both sides.
"""

import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.common import IMAGEN, ROOT, Verdicts, arguments, wall_times

MOST_AS_PROCESS, MOST_IN_STUDIO = 1.2, 1.15

RAW = """
import json, os, sys, uuid
import httpx
from websockets.sync.client import connect

with open(os.path.join(os.path.dirname(__file__), "graph.json")) as file:
    graph = json.load(file)

class Raw:
    def __init__(self, url, folder):
        self.folder = folder
        self.client = httpx.Client(base_url=url)
        self.name = str(uuid.uuid4())
        self.socket = connect(url.replace("http", "ws") + "/ws?clientId=" + self.name)
        self.socket.recv()

    def close(self):
        self.socket.close()
        self.client.close()

    def draw(self, seed):
        graph["sampler"]["inputs"]["seed"] = seed
        answer = self.client.post(
            "/prompt", json={"prompt": graph, "client_id": self.name}
        )
        prompt_id = answer.json()["prompt_id"]
        files = []
        while True:
            frame = self.socket.recv()
            if not isinstance(frame, str):
                continue
            frame = json.loads(frame)
            data = frame["data"]
            if data.get("prompt_id") != prompt_id:
                continue
            if frame["type"] == "executed":
                files += data["output"]["images"]
            if frame["type"] == "executing" and data["node"] is None:
                break
        for file in files:
            content = self.client.get("/view", params=file).content
            with open(os.path.join(self.folder, f"raw-{seed}.png"), "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())

if __name__ == "__main__":
    Raw(*sys.argv[1:]).draw(int.from_bytes(os.urandom(4)))
"""

CONFIG = """
backends:
  comfy: {{adapter: comfyui, base_url: "{url}", workflow: sd15, steps: 4}}
"""


@contextlib.contextmanager
def run_server(step: float) -> Iterator[str]:
    """Run the server, and give its address."""
    command = [
        *(sys.executable, "-m", "tests.integration.comfyui.server"),
        *("--port", "0", "--step", str(step)),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield _address(server.stdout.readline())
        finally:
            server.terminate()


def _address(line: str) -> str:
    found = re.search(r"https?://\S+", line)
    assert found, f"the server did not say where it is: {line!r}"
    return found[0].rstrip(".,")


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--step", type=float, default=0.07, help="seconds")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args(argv)
    step, rounds = (0.0, 1) if given.smoke else (given.step, given.rounds)
    verdicts = Verdicts(smoke=given.smoke)
    with run_server(step) as url, tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "imagen.yaml")
        config.write_text(CONFIG.format(url=url))
        raw = Path(folder, "raw.py")
        raw.write_text(RAW)
        Path(folder, "graph.json").write_text(_graph())
        seconds = _time_processes(
            url, folder, config, raw, rounds=rounds, warm_up=not given.smoke
        )
        seconds |= _time_loops(url, folder, config, raw, rounds=2 * rounds)
    verdicts.ratio(
        seconds, of="imagen generate", to="raw process", limit=MOST_AS_PROCESS
    )
    verdicts.ratio(seconds, of="Studio", to="raw loop", limit=MOST_IN_STUDIO)
    return verdicts.exit_code()


def _graph() -> str:
    import json

    from imagen.adapters.backends.comfyui.filling import fill_workflow
    from imagen.adapters.backends.comfyui.workflow import Workflow, open_workflow
    from imagen.domain.job import ImageJob
    from imagen.domain.size import Size

    job = ImageJob(number=1, prompt="a fox", size=Size(512, 512), steps=4, timeout=60)
    workflow = open_workflow("sd15")
    assert isinstance(workflow, Workflow)
    return json.dumps(fill_workflow(workflow, job, prefix="raw"))


def _time_processes(
    url: str, folder: str, config: Path, raw: Path, *, rounds: int, warm_up: bool
) -> dict[str, list[float]]:
    return wall_times(
        {
            "raw process": [sys.executable, str(raw), url, folder],
            "imagen generate": [
                *(IMAGEN, "generate", "a fox", "--config", str(config)),
                *("--size", "512x512", "-o", f"{folder}/"),
            ],
        },
        rounds=rounds,
        warm_up=warm_up,
        env={"HOME": folder},
    )


def _time_loops(
    url: str, folder: str, config: Path, raw: Path, *, rounds: int
) -> dict[str, list[float]]:
    import imagen

    names: dict[str, object] = {"__name__": "raw", "__file__": str(raw)}
    exec(compile(raw.read_text(), raw, "exec"), names)
    script = names["Raw"](url, folder)  # type: ignore[operator]
    seeds = iter(random.sample(range(2**31), 2 * rounds + 4))
    with imagen.Studio(config=config) as studio, contextlib.closing(script):
        return _alternate(
            {
                "raw loop": lambda: script.draw(next(seeds)),
                "Studio": lambda: studio.generate(
                    "a fox", size="512x512", seed=next(seeds), output=f"{folder}/"
                ),
            },
            rounds=rounds,
        )


def _alternate(
    calls: dict[str, Callable[[], object]], *, rounds: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    sys.exit(main())

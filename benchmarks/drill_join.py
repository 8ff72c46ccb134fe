"""OpenAI's clients give up and repeat by themselves; every image is paid once.

    python -m benchmarks.drill_join --requests 200

A Replicate of our own takes longer for an image than each client waits, some
connections are cut at random, and half of the clients are behind an nginx that cuts,
too, where it is installed. Every third client is the one for JavaScript, where it is
installed (sh tools/test-packages.sh). No client sends an Idempotency-Key.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import openai
from benchmarks.common import Verdicts, arguments
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.cutting import CuttingRelay
from tests.integration.serve.javascript import (
    ClientError,
    JavaScriptClients,
    is_installed,
)
from tests.integration.serve.proxy import NGINX, nginx
from tests.integration.serve.running import Running, until

RETRIES = 20


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--requests", type=int, default=200)
    words.add_argument("--at-once", type=int, default=16)
    words.add_argument("--seconds", type=float, default=3.0, help="for an image")
    words.add_argument("--cut", type=float, default=0.3, help="share of connections")
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args(argv)
    if given.smoke:
        given.requests, given.at_once, given.seconds = 6, 6, 1.2
    verdicts = Verdicts(smoke=given.smoke)
    timeouts = random.Random(given.seed)
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor = stack.enter_context(ReplicateServer(seconds=given.seconds))
        running = stack.enter_context(
            Running(
                folder / "serve",
                _config(vendor.url, given.at_once),
                env={"REPLICATE_API_TOKEN": vendor.token},
            )
        )
        ports = [running.port]
        if NGINX is not None:
            cut_after = f"{round(given.seconds * 600)}ms"
            proxy = nginx(folder / "nginx", to=running.port, timeout=cut_after)
            ports.append(int(stack.enter_context(proxy).rpartition(":")[2]))
        relays = [
            stack.enter_context(
                CuttingRelay(
                    port, share=given.cut, within=2 * given.seconds, seed=given.seed
                )
            )
            for port in ports
        ]

        javascript = None
        if is_installed():
            javascript = stack.enter_context(JavaScriptClients())

        def generate(number: int) -> str:
            url = relays[number % len(relays)].url
            timeout = timeouts.uniform(0.3, 1.5) * given.seconds
            prompt = f"fox {number}"
            if javascript is not None and number % 3 == 2:
                answer = _ask_javascript(javascript, url, prompt, timeout)
                return f"{answer} (JavaScript)"
            return _ask_python(url, prompt, timeout)

        with ThreadPoolExecutor(given.at_once) as pool:
            answers = Counter(pool.map(generate, range(given.requests)))
        until(lambda: running.metric("imagen_requests_open") == 0)
        sidecars = [json.loads(p.read_bytes()) for p in running.images.rglob("*.json")]
        prompts = Counter(each["prompt"] for each in sidecars)
        paid, stored = vendor.paid, len(running.stored)
    print(
        f"{given.requests} requests, {sum(each.cut for each in relays)} connections "
        f"cut, {'with' if NGINX else 'without'} nginx, "
        f"{time.perf_counter() - began:.0f} s: {paid} paid, {stored} stored, "
        f"{dict(answers)}"
    )
    verdicts.promise(
        "each request is paid once, and answered or stored",
        holds=paid == stored == len(prompts) == given.requests,
    )
    return verdicts.exit_code()


def _ask_python(url: str, prompt: str, timeout: float) -> str:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="x", max_retries=RETRIES, timeout=timeout
    ) as client:
        try:
            made = client.images.generate(model="paid", prompt=prompt)
        except openai.OpenAIError as error:
            return type(error).__name__
    return "answered" if made.data and made.data[0].b64_json else "empty"


def _ask_javascript(
    clients: JavaScriptClients, url: str, prompt: str, timeout: float
) -> str:
    fields = {"model": "paid", "prompt": prompt}
    sent = clients.send("openai", url, retries=RETRIES, timeout=timeout, fields=fields)
    try:
        made = sent.result()
    except ClientError as error:
        return error.kind
    return "answered" if made and made[0] else "empty"


def _config(url: str, at_once: int) -> dict[str, object]:
    paid = {"adapter": "replicate", "model": SCHNELL, "base_url": url, "price": 0.003}
    return {
        "backends": {"paid": paid},
        "serve": {"concurrency": at_once},
        "budget": {"week_usd": 1_000_000},
    }


if __name__ == "__main__":
    sys.exit(main())

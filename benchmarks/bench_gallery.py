"""The gallery of 100,000 images in Chromium: the first picture, scrolling, memory.

    python -m benchmarks.bench_gallery [IMAGES]

The newest 400 are of 1024x1024, the others small, and none has a thumbnail yet. Skipped
without Chromium and Playwright.
"""

import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import msgspec
from benchmarks.common import Verdicts, arguments, skip
from tests.contract_internal.samples import sample_entry
from tests.integration.serve.running import Running

from imagen.adapters.database.connection import Database
from imagen.adapters.database.history import SqliteHistory
from imagen.domain.history import HistoryEntry
from imagen.testing.fakes import tiny_png

IMAGES = 100_000
LARGE = 400
FIRST_MS = 1000.0
ANSWER_MS = 100.0
LATE_FRAMES = 0.05
"""Of the frames while scrolling, those that took longer than three at 60 Hz."""
FACTOR = 1.3
SCREENS = 150
WORDS = ["fox", "owl", "hen", "crane", "otter", "heron", "lynx", "marten", "elk", "cod"]

SCROLL = """
async (screens) => {
  const times = [];
  let before = performance.now();
  for (let turn = 0; turn < screens * 10; turn += 1) {
    scrollBy(0, innerHeight / 10);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}
"""


STEPS = """
performance.getEntries().filter((each) => each.responseEnd).slice(0, 16)
    .map(({ name, startTime, responseEnd }) =>
      `${name.split("/").pop().slice(0, 12)} ${startTime | 0}-${responseEnd | 0}`)
    .join(", ")
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("images", nargs="?", type=int, default=IMAGES)
    given = parser.parse_args(argv)
    images, large, screens = given.images, LARGE, SCREENS
    if given.smoke:
        images, large, screens = 120, 10, 1
    verdicts = Verdicts(smoke=given.smoke)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return skip("needs Chromium and Playwright")
    with tempfile.TemporaryDirectory() as folder, Running(Path(folder)) as running:
        began = time.perf_counter()
        fill(running, images, large)
        print(f"{images} images put there in {time.perf_counter() - began:.0f} s")
        measure_pages(running, images, verdicts)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium,
                args=["--no-sandbox", "--disable-background-networking"],
            )
            measure_browser(running, browser, screens, verdicts)
            browser.close()
    return verdicts.exit_code()


def fill(running: Running, images: int, large: int) -> None:
    """Have the mock draw the newest, and put small ones behind them."""
    folder = running.images / "small"
    folder.mkdir(parents=True)
    history = SqliteHistory(Database(running.account))
    oldest = datetime.now(UTC) - timedelta(days=400)
    step = timedelta(days=399) / images
    batch: list[HistoryEntry] = []
    for number in range(images - large):
        content = tiny_png(6 + number % 7, 6, (number % 256, number // 256 % 256, 90))
        path = folder / f"{number}.png"
        path.write_bytes(content)
        sidecar = msgspec.structs.replace(
            sample_entry().sidecar,
            id=f"{number:08x}-0000-7000-8000-{number:012x}",
            created_at=(oldest + number * step).isoformat(),
            prompt=f"a {WORDS[number % 10]} of {WORDS[number // 10 % 10]}s, {number}",
            backend=f"backend-{number % 4}",
            sha256=sha256(content).hexdigest(),
            bytes=len(content),
            width=600 + number % 7 * 100,
            height=600,
        )
        batch.append(HistoryEntry(location=str(path), sidecar=sidecar))
        if len(batch) == 5000:
            history.add(batch)
            batch = []
    history.add(batch)
    with running.client() as client:
        for number in range(large // 10):
            asked = {"prompt": f"a large fox {number}", "n": 10, "size": "1024x1024"}
            asked["response_format"] = "url"
            client.post("/v1/images/generations", json=asked).raise_for_status()


def measure_pages(running: Running, images: int, verdicts: Verdicts) -> None:
    """Page through all of it as the page does, and look at the memory."""
    with running.client() as client:
        took, seen, before = [], 0, None
        memory = [resident_memory(running)]
        while True:
            query = {"limit": 100} | ({"before": before} if before else {})
            page, ms = time_request(client, "/gallery/api/images", query)
            took.append(ms)
            seen += len(page["images"])
            if seen % 20_000 == 0:
                memory.append(resident_memory(running))
            before = page["next"]
            if before is None:
                break
        assert seen == images
        what = "a page of 100, the slowest of all"
        verdicts.at_most(what, max(took), ANSWER_MS, " ms")
        memory.append(resident_memory(running))
        print(f"  the median {statistics.median(took):.1f} ms; memory {memory} MB")
        growth = memory[-1] / memory[1]
        verdicts.at_most("memory at the end, in times", growth, FACTOR)
        for what, query in (
            ("three words of one image", {"words": "fox otters 77741"}),
            ("a word of a tenth of all", {"words": "lynx"}),
            ("nothing", {"words": "nowhere to be found"}),
            ("a backend and a week", {"backend": "backend-3", "week": weeks_ago(9)}),
        ):
            _, ms = time_request(client, "/gallery/api/images", query)
            verdicts.at_most(f"search, {what}", ms, ANSWER_MS, " ms")
        _, ms = time_request(client, "/gallery/api/counts", {})
        print(f"counts for the filters: {ms:.0f} ms")


def measure_browser(
    running: Running, browser: object, screens: int, verdicts: Verdicts
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    began = time.perf_counter()
    page.goto(running.url, wait_until="commit")
    page.locator(".tile.there").first.wait_for()
    first = (time.perf_counter() - began) * 1000
    what = "first picture on the screen, no thumbnail yet"
    verdicts.at_most(what, first, FIRST_MS, " ms")
    print("  " + page.evaluate(STEPS))
    memory = resident_memory(running)
    times = page.evaluate(SCROLL, screens)
    late = sum(each > 50 for each in times) / len(times)
    print(
        f"  {len(times)} frames over {screens} screens: median "
        f"{statistics.median(times):.1f} ms, longest {max(times):.0f} ms, "
        f"{page.locator('.tile').count()} tiles in the page"
    )
    verdicts.at_most("share of frames that took more than 50 ms", late, LATE_FRAMES)
    after = resident_memory(running)
    print(f"  the server's memory: {memory:.0f} MB, then {after:.0f} MB")


def time_request(client: httpx.Client, path: str, query: dict[str, object]) -> tuple:
    began = time.perf_counter()
    answer = client.get(path, params=query).raise_for_status()
    return json.loads(answer.content), (time.perf_counter() - began) * 1000


def weeks_ago(weeks: int) -> str:
    return (datetime.now(UTC) - timedelta(weeks=weeks)).strftime("%G-W%V")


def resident_memory(running: Running) -> float:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


if __name__ == "__main__":
    os.environ.setdefault("IMAGEN_PREVIEW", "off")
    sys.exit(main())

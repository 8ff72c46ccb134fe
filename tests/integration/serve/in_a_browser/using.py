"""What the tests of the gallery do in a page."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from tests.integration.serve.running import GENERATIONS, Running

from imagen.adapters.database.connection import Database
from imagen.adapters.database.history import SqliteHistory
from imagen.domain.history import HistoryEntry

if TYPE_CHECKING:
    from playwright.sync_api import Page


def make(shop: Running, *prompts: str, **fields: object) -> None:
    for prompt in prompts:
        asked = {"prompt": prompt, "response_format": "url", **fields}
        shop.http.post(GENERATIONS, json=asked).raise_for_status()


def make_many(shop: Running, count: int) -> None:
    """Generate one image, and list it many times."""
    make(shop, "a fox")
    history = SqliteHistory(Database(shop.account))
    [entry] = history.find(limit=1)
    moment = datetime.fromisoformat(entry.sidecar.created_at)
    history.add(
        HistoryEntry(
            location=entry.location,
            sidecar=msgspec.structs.replace(
                entry.sidecar,
                id=f"{number:08x}-0000-7000-8000-{number:012x}",
                created_at=(moment - timedelta(seconds=number)).isoformat(),
            ),
        )
        for number in range(1, count)
    )


def visit(page: "Page", shop: Running, place: str = "") -> None:
    page.goto(f"{shop.url}/{place}")


def copy(page: "Page", button: Any) -> str:
    """Press a button that copies, and return what it has copied."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    page.wait_for_function("async () => await navigator.clipboard.readText() !== ''")
    return str(page.evaluate("navigator.clipboard.readText()"))


def see(it: Any) -> Any:
    from playwright.sync_api import expect

    return expect(it)

"""Rows and files for the tests to send, and a way to send them."""

import hashlib
import zlib
from typing import Any, Self
from uuid import uuid4

import httpx
from tests.integration.supabase.project import SupabaseProject

BUCKET = "imagen-generated"
PNG = b"\x89PNG\r\n\x1a\n" + zlib.compress(b"a picture\r\n--", 0)


class Caller:
    """Somebody with a key, and perhaps signed in, who asks without any library."""

    def __init__(
        self, project: SupabaseProject, *, key: str, token: str | None = None
    ) -> None:
        headers = {"apikey": key, "Authorization": f"Bearer {token or key}"}
        self._client = httpx.Client(
            base_url=project.url,
            headers=headers,
            trust_env=False,
            verify=False,  # loading the certificates takes 20 ms of CPU time
            timeout=60,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Ask for a path of the project."""
        return self._client.request(method, path, **how)

    def rest(self, method: str, table: str, **how: Any) -> httpx.Response:
        """Ask PostgREST for `schema.table`, perhaps with a query."""
        schema, _, path = table.partition(".")
        headers = {"Accept-Profile": schema, "Content-Profile": schema}
        return self.ask(method, f"/rest/v1/{path}", headers=headers, **how)

    def insert(self, table: str, *rows: dict[str, Any]) -> httpx.Response:
        """Add rows to `schema.table`."""
        return self.rest("POST", table, json=list(rows))

    def report(self, **wish: Any) -> httpx.Response:
        """Ask for the usage report."""
        return self.rest("POST", "mai.rpc/imagen_usage_report", json=wish)

    def upload(
        self,
        name: str,
        content: bytes = PNG,
        *,
        media_type: str = "image/png",
        method: str = "POST",
        replace: bool = False,
        **fields: str,
    ) -> httpx.Response:
        """Send a file to Storage as storage3 does; `name` begins with the bucket."""
        return self.ask(
            method,
            f"/storage/v1/object/{name}",
            headers={"x-upsert": "true" if replace else "false"},
            data=fields,
            files={"file": (name.rpartition("/")[2], content, media_type)},
        )

    def download(self, name: str) -> httpx.Response:
        """Fetch a file from Storage; `name` begins with the bucket."""
        return self.ask("GET", f"/storage/v1/object/{name}")

    def listed(self, folder: str) -> list[str]:
        """Name what Storage lists right below a folder of the bucket."""
        found = self.ask(
            "POST", f"/storage/v1/object/list/{BUCKET}", json={"prefix": folder}
        )
        return [each["name"] for each in found.json()]


def usage_row(**given: Any) -> dict[str, Any]:
    """Return a row for mai.imagen_usage."""
    return {
        "id": str(uuid4()),
        "created_at": "2026-11-22T12:00:00Z",
        "caller": "tests",
        "backend": "mock",
        "adapter": "mock",
        "model": "",
        "status": "ok",
        "latency_ms": 12,
        "images": 1,
        "cost_usd": 0.05,
        "cost_source": "reported",
        "prompt_sha256": hashlib.sha256(b"a cat").hexdigest(),
        **given,
    }


def image_row(owner: str, **given: Any) -> dict[str, Any]:
    """Return a row for imagen.images."""
    image = given.pop("id", None) or str(uuid4())
    return {
        "id": image,
        "owner_user_id": owner,
        "created_at": "2026-11-22T12:00:00Z",
        "prompt": "a cat",
        "prompt_sha256": hashlib.sha256(b"a cat").hexdigest(),
        "backend": "mock",
        "model": "",
        "seed": 42,
        "steps": 20,
        "width": 64,
        "height": 64,
        "latency_ms": 12,
        "cost_usd": 0.05,
        "storage_path": f"{owner}/{image}-a-cat.png",
        "mime_type": "image/png",
        "bytes": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "sidecar": {"schema": 1, "id": image},
        **given,
    }

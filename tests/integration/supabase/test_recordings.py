"""Our Storage against exchanges with a real one, where somebody has them.

`IMAGEN_SUPABASE_EXCHANGES` names the folder. What was sent to the real server is sent
to ours, one thing after another, and the answers are compared: status, type, every key,
and every value but ids and times. Left out is what imagen never asks for.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.supabase.project import SupabaseProject

FOLDER = os.environ.get("IMAGEN_SUPABASE_EXCHANGES")
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="IMAGEN_SUPABASE_EXCHANGES names no folder with exchanges"
)

OWNER = "11111111-1111-4111-8111-111111111111"
SIZE = 219
"""Of the recorded picture, whose bytes are not recorded."""
PICTURE = b"\x89PNG" + bytes(SIZE - 4)

NEVER_ASKED = re.compile(
    r"(POST|PUT|DELETE) /bucket|/object/(sign|move|copy|list-v2)|/scratch|-moved"
)
NEVER_READ = {"type", "lastModified", "last_modified", "owner", "owner_id"}
CHANGES = {"id", "Id", "version", "eTag", "etag"}


def exchanges() -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    lines = Path(FOLDER or "", "storage.jsonl").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        exchange = json.loads(line)
        asked, told = exchange["req"], exchange["res"]
        path = asked["path"].removeprefix("/storage/v1")
        too_long = len(path) > 1000  # the real one's file system gave up
        words = f"{asked['method']} {path} {asked['body'][:1000]}"
        if not NEVER_ASKED.search(words) and not too_long:
            yield number, asked, told


def token(project: SupabaseProject, number: int, asked: dict[str, Any]) -> str | None:
    """Who asked; tokens are blanked, and the order of the lines tells them apart."""
    theirs = asked["headers"].get("Authorization")
    if theirs is None or "<JWT>" not in theirs:
        return theirs and theirs.removeprefix("Bearer ")
    if number in range(45, 50):
        return project.token("authenticated", OWNER)
    if number in range(50, 55):
        return project.token("authenticated", "22222222-2222-4222-8222-222222222222")
    if number in range(55, 60):
        return project.anon_key
    if number == 62:
        return project.token("service_role", seconds=-60)
    if number == 63:
        return project.service_key[:-8] + "AAAAAAAA"
    return project.service_key


def ask(project: SupabaseProject, number: int, asked: dict[str, Any]) -> httpx.Response:
    headers = {}
    who = token(project, number, asked)
    if who is not None:
        key = project.secret_key if who.startswith("sb_secret") else who
        headers |= {"apikey": key, "Authorization": f"Bearer {key}"}
    elif "apikey" in {name.lower() for name in asked["headers"]}:
        headers |= {"apikey": project.publishable_key}
    form: dict[str, Any] = {}
    if "multipart" in asked["headers"].get("Content-Type", ""):
        headers["x-upsert"] = asked["headers"].get("x-upsert", "false")
        form["data"] = {"cacheControl": "31536000"}
        form["files"] = {"file": file_of(asked)}
        if asked["path"].endswith("-meta.png"):
            form["data"]["metadata"] = '{"model": "m", "sha256": "ab"}'
    elif asked["body"]:
        form["json"] = json.loads(asked["body"])
    return httpx.request(
        asked["method"], project.url + asked["path"], headers=headers, **form
    )


def file_of(asked: dict[str, Any]) -> tuple[str, bytes, str]:
    """The file in a recorded form, or one of its size where it was not recorded."""
    written = re.search(
        r"Content-Type: (\S+)\r\n\r\n(.*)\r\n--\w+--\r\n$", asked["body"], re.DOTALL
    )
    if written:
        return "x", written[2].encode(), written[1]
    if asked["path"].endswith(".pngx"):
        return "x", PICTURE, "text/plain"
    huge = asked["path"].endswith("-big.png")
    return "x", PICTURE * 250_000 if huge else PICTURE, "image/png"


def comparable(value: Any) -> Any:
    """A body without what differs from run to run, and without what nobody reads."""
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "..." if key in CHANGES or key.endswith("_at") else comparable(each)
        for key, each in value.items()
        if key not in NEVER_READ
    }


def test_the_same_words_come_back(project: SupabaseProject) -> None:
    project.sql(
        "update storage.buckets set allowed_mime_types = '{image/png}', "
        "file_size_limit = 52428800"
    )
    project.sql("insert into auth.users (id) values (%s)", OWNER)
    faults, compared = [], 0

    for number, asked, told in exchanges():
        answer = ask(project, number, asked)
        here = (answer.status_code, answer.headers.get("Content-Type"))
        theirs = told["headers"].get("content-type")
        if here != (told["status"], theirs):
            faults.append((number, asked["method"], asked["path"], here, answer.text))
        elif told["body"].startswith("<"):  # not recorded: binary, or long
            assert not told["body"].endswith("binary>") or len(answer.content) == SIZE
        else:
            ours, real = comparable(answer.json()), comparable(json.loads(told["body"]))
            if ours != real:
                faults.append((number, asked["method"], asked["path"], ours, real))
        compared += 1

    project.migrate()
    assert not faults, "\n".join(map(str, faults))
    assert compared > 40

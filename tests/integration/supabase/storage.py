"""Our Storage: bytes in a folder, rows in storage.objects as the caller's own role.

It is not Supabase's: it answers the calls that imagen makes, in the words that the real
server was heard to use (`test_recordings.py`). Who may read or write what is decided by
PostgreSQL and our policies alone.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import jwt
import psycopg
from aiohttp import web
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

LARGEST = 50 * 1024 * 1024
"""What a free project takes of one object, whatever its bucket says."""

BROKEN = (500, "Internal", "Internal Server Error", "InternalError")
DENIED = (
    403,
    "Unauthorized",
    "new row violates row-level security policy",
    "AccessDenied",
)
DUPLICATE = (409, "Duplicate", "The resource already exists", "KeyAlreadyExists")
NO_BUCKET = (404, "Bucket not found", "Bucket not found", "NoSuchBucket")
NO_OBJECT = (404, "not_found", "Object not found", "NoSuchKey")
TOO_LARGE = (
    413,
    "Payload too large",
    "The object exceeded the maximum allowed size",
    "EntityTooLarge",
)

Claims = Mapping[str, Any]
Connection = psycopg.AsyncConnection[DictRow]

_NAME = re.compile(r"[\w/!\-.*'() &$@=;:+,?]+", re.ASCII)
_BUCKET = "select * from storage.buckets where id = %s"
_OBJECT = "select * from storage.objects where bucket_id = %s and name = %s"
_KEEP = """
    insert into storage.objects (bucket_id, name, owner_id, metadata, user_metadata)
    values (%(bucket)s, %(name)s, %(owner)s, %(metadata)s, %(user_metadata)s)
"""
_REPLACE = """
    on conflict (bucket_id, name) do update
    set metadata = excluded.metadata, user_metadata = excluded.user_metadata,
        version = excluded.version, updated_at = now()
"""


class Refusal(Exception):
    """A no, and what it means; its HTTP status is 400 whatever that is."""

    def __init__(self, status: int, error: str, message: str, code: str) -> None:
        super().__init__(message)
        self.body = {
            "statusCode": str(status),
            "error": error,
            "message": message,
            "code": code,
        }


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file as it was sent, and what was said about it."""

    content: bytes
    media_type: str
    fields: Mapping[str, str]


MOST_CONNECTIONS = 20
"""PostgreSQL has 100, of which PostgREST wants some as well."""


class Rows:
    """Lends connections to PostgreSQL that act as somebody."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._spare: list[Connection] = []
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)

    @asynccontextmanager
    async def acting(self, claims: Claims | None = None) -> AsyncGenerator[Connection]:
        """Lend a connection, in a transaction, that is whoever the claims are about.

        Without claims it sees everything.
        """
        async with self._turns:
            connection = await self._begun(
                "postgres" if claims is None else str(claims.get("role", "anon")),
                json.dumps(claims or {}),
            )
            try:
                yield connection
                await connection.commit()
            except BaseException:
                await connection.close()
                raise
            self._spare.append(connection)

    async def one(
        self, claims: Claims | None, query: LiteralString, *values: str
    ) -> DictRow | None:
        """Find the first row that somebody sees."""
        async with self.acting(claims) as rows:
            return await (await rows.execute(query, values)).fetchone()

    async def _begun(self, role: str, claims: str) -> Connection:
        while True:
            spare = self._spare.pop() if self._spare else None
            connection = spare or await Connection.connect(
                self._conninfo, row_factory=dict_row
            )
            try:
                await connection.execute(
                    "select set_config('request.jwt.claims', %s, true), "
                    "set_config('role', %s, true)",
                    (claims, role),
                )
            except psycopg.Error:
                await connection.close()
                if spare is None:
                    raise
            else:
                return connection


class Storage:
    """Answers what is asked below /storage/v1."""

    def __init__(self, rows: Rows, *, secret: str, folder: Path) -> None:
        self._rows, self._secret, self._folder = rows, secret, folder
        folder.mkdir(exist_ok=True)

    async def answer(
        self, request: web.Request, *, path: str, token: str, content: bytes
    ) -> web.Response:
        """Answer one request; `path` is what follows /storage/v1, unquoted."""
        try:
            return await self._answer(request, path.strip("/"), token, content)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=400)
        except psycopg.Error as error:
            print("storage:", repr(error), flush=True)
            return web.json_response(Refusal(*BROKEN).body, status=500)

    async def _answer(
        self, request: web.Request, path: str, token: str, content: bytes
    ) -> web.Response:
        method = "GET" if request.method == "HEAD" else request.method
        match [method, *path.split("/")]:
            case ["GET", "bucket"]:
                return await self._buckets(self._claims(token))
            case ["GET", "bucket", bucket]:
                return await self._bucket(bucket, self._claims(token))
            case ["GET", "object", "public", bucket, *name]:
                await self._known(bucket, public=True)
                return await self._download(bucket, "/".join(name), None)
            case ["GET", "object", "info", bucket, *name]:
                return await self._info(bucket, "/".join(name), self._claims(token))
            case ["GET", "object", bucket, *name]:
                return await self._download(bucket, "/".join(name), self._claims(token))
            case ["POST", "object", "list", bucket]:
                return await self._list(
                    bucket, self._claims(token), json.loads(content)
                )
            case ["POST" | "PUT", "object", bucket, *name]:
                return await self._upload(
                    bucket,
                    "/".join(name),
                    self._claims(token),
                    _sent(request.headers["Content-Type"], content),
                    replace=method == "PUT"
                    or request.headers.get("x-upsert") == "true",
                )
            case ["DELETE", "object", bucket]:
                names = json.loads(content)["prefixes"]
                return await self._remove(bucket, names, self._claims(token))
        missing = Refusal(404, "Not Found", f"Route {method}:/{path} not found", "")
        return web.json_response(missing.body, status=404)

    def _claims(self, token: str) -> Claims:
        try:
            return jwt.decode(
                token, self._secret, ["HS256"], options={"verify_aud": False}
            )
        except jwt.ExpiredSignatureError:
            why = '"exp" claim timestamp check failed'
        except jwt.InvalidSignatureError:
            why = "signature verification failed"
        except jwt.PyJWTError:
            why = "Invalid Compact JWS"
        raise Refusal(403, "Unauthorized", why, "AccessDenied")

    async def _known(self, bucket: str, *, public: bool = False) -> DictRow:
        """Find the bucket, which the server sees whoever asks."""
        found = await self._rows.one(None, _BUCKET, bucket)
        if found is None or (public and not found["public"]):
            raise Refusal(*NO_BUCKET)
        return found

    async def _object(self, bucket: str, name: str, claims: Claims | None) -> DictRow:
        await self._known(bucket)
        found = await self._rows.one(claims, _OBJECT, bucket, name)
        if found is None:
            raise Refusal(*NO_OBJECT)
        return found

    async def _buckets(self, claims: Claims) -> web.Response:
        async with self._rows.acting(claims) as rows:
            found = await rows.execute("select * from storage.buckets order by name")
            return web.json_response([_shown_bucket(row) async for row in found])

    async def _bucket(self, bucket: str, claims: Claims) -> web.Response:
        found = await self._rows.one(claims, _BUCKET, bucket)
        if found is None:
            raise Refusal(*NO_BUCKET)
        return web.json_response(_shown_bucket(found))

    async def _upload(
        self,
        bucket: str,
        name: str,
        claims: Claims,
        sent: Sent,
        *,
        replace: bool,
    ) -> web.Response:
        rules = await self._known(bucket)
        if not _NAME.fullmatch(name):
            raise Refusal(400, "InvalidKey", f"Invalid key: {name}", "InvalidKey")
        allowed = rules["allowed_mime_types"]
        if allowed and sent.media_type not in allowed:
            why = f"mime type {sent.media_type} is not supported"
            raise Refusal(415, "invalid_mime_type", why, "InvalidMimeType")
        if len(sent.content) > min(rules["file_size_limit"] or LARGEST, LARGEST):
            raise Refusal(*TOO_LARGE)
        metadata = {
            "eTag": f'"{hashlib.md5(sent.content).hexdigest()}"',
            "size": len(sent.content),
            "mimetype": sent.media_type,
            "cacheControl": "max-age=" + sent.fields.get("cacheControl", "3600"),
            "contentLength": len(sent.content),
            "httpStatusCode": 200,
        }
        user_metadata = sent.fields.get("metadata")
        try:
            async with self._rows.acting(claims) as rows:
                kept = await rows.execute(
                    _KEEP + (_REPLACE if replace else "") + " returning id",
                    {
                        "bucket": bucket,
                        "name": name,
                        "owner": claims.get("sub"),
                        "metadata": Jsonb(metadata),
                        "user_metadata": user_metadata
                        and Jsonb(json.loads(user_metadata)),
                    },
                )
                row = await kept.fetchone()
                assert row is not None
                self._write(bucket, name, sent.content)
        except psycopg.errors.UniqueViolation:
            raise Refusal(*DUPLICATE) from None
        except psycopg.errors.InsufficientPrivilege:
            raise Refusal(*DENIED) from None
        return web.json_response({"Key": f"{bucket}/{name}", "Id": str(row["id"])})

    async def _download(
        self, bucket: str, name: str, claims: Claims | None
    ) -> web.Response:
        metadata = (await self._object(bucket, name, claims))["metadata"]
        return web.Response(
            body=self._file(bucket, name).read_bytes(),
            headers={
                "Content-Type": metadata["mimetype"],
                "ETag": metadata["eTag"],
                "Cache-Control": metadata["cacheControl"],
                "X-Robots-Tag": "none",
            },
        )

    async def _info(self, bucket: str, name: str, claims: Claims) -> web.Response:
        found = await self._object(bucket, name, claims)
        metadata = found["metadata"]
        return web.json_response(
            {
                "id": str(found["id"]),
                "name": name,
                "version": found["version"],
                "bucket_id": bucket,
                "size": metadata["size"],
                "content_type": metadata["mimetype"],
                "cache_control": metadata["cacheControl"],
                "etag": metadata["eTag"],
                "metadata": found["user_metadata"] or {},
                "last_modified": _stamp(found["updated_at"]),
                "created_at": _stamp(found["created_at"]),
            },
            headers={
                "ETag": metadata["eTag"],
                "Cache-Control": metadata["cacheControl"],
            },
        )

    async def _list(
        self, bucket: str, claims: Claims, wish: Mapping[str, Any]
    ) -> web.Response:
        """List what is right below a folder: objects, and folders by name alone."""
        await self._known(bucket)
        folder = wish.get("prefix", "").strip("/")
        above = folder + "/" if folder else ""
        shown: dict[str, dict[str, object]] = {}
        async with self._rows.acting(claims) as rows:
            async for row in await rows.execute(
                "select * from storage.objects where bucket_id = %s "
                'and starts_with(name, %s) order by name collate "C"',
                (bucket, above),
            ):
                name, _, below = row["name"][len(above) :].partition("/")
                shown.setdefault(name, _shown_object(name, None if below else row))
        start = wish.get("offset", 0)
        return web.json_response(
            list(shown.values())[start : start + wish.get("limit", 100)]
        )

    async def _remove(
        self, bucket: str, names: list[str], claims: Claims
    ) -> web.Response:
        await self._known(bucket)
        async with self._rows.acting(claims) as rows:
            removed = await rows.execute(
                "delete from storage.objects where bucket_id = %s and name = any(%s) "
                "returning *",
                (bucket, names),
            )
            gone = await removed.fetchall()
        for row in gone:
            self._file(bucket, row["name"]).unlink(missing_ok=True)
        return web.json_response([_shown_object(row["name"], row) for row in gone])

    def _file(self, bucket: str, name: str) -> Path:
        return self._folder / hashlib.sha256(f"{bucket}/{name}".encode()).hexdigest()

    def _write(self, bucket: str, name: str, content: bytes) -> None:
        draft = self._folder / uuid4().hex
        draft.write_bytes(content)
        draft.replace(self._file(bucket, name))


def _sent(kind: str, content: bytes) -> Sent:
    """Take apart a form that has one file in it."""
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    file, media_type, fields = b"", "", {}
    for part in content.split(b"--" + boundary)[1:-1]:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        body = body.removesuffix(b"\r\n")
        words = head.decode()
        if "filename=" in words:
            found = re.search(r"(?im)^content-type:\s*([^;\s]+)", words)
            file, media_type = body, found[1] if found else "text/plain"
        elif name := re.search(r'name="([^"]*)"', words):
            fields[name[1]] = body.decode()
    return Sent(content=file, media_type=media_type, fields=fields)


def _shown_bucket(row: DictRow) -> dict[str, object]:
    return {
        "id": row["id"],
        "name": row["name"],
        "owner": "",
        "public": row["public"],
        "file_size_limit": row["file_size_limit"],
        "allowed_mime_types": row["allowed_mime_types"],
        "created_at": _stamp(row["created_at"]),
        "updated_at": _stamp(row["updated_at"]),
    }


def _shown_object(name: str, row: DictRow | None) -> dict[str, object]:
    """Show an object, or a folder, which has nothing but a name."""
    return {
        "name": name,
        "id": row and str(row["id"]),
        "updated_at": row and _stamp(row["updated_at"]),
        "created_at": row and _stamp(row["created_at"]),
        "last_accessed_at": row and _stamp(row["created_at"]),
        "metadata": row and row["metadata"],
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

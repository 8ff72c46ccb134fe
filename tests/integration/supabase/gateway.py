"""What answers at the project's URL: it looks at the key, then asks whose path it is.

    python -m tests.integration.supabase.gateway SETUP

/rest/v1 is PostgREST, /storage/v1 and /auth/v1 are ours, and /-/ is for the tests: what
was asked, and trouble to order. SETUP is a `Setup` as JSON.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import jwt
import msgspec
from aiohttp import web
from tests.integration.supabase.storage import Rows, Storage
from yarl import URL

NO_KEY = {
    "message": "No API key found in request",
    "hint": "No `apikey` request header or url param was found.",
}
WRONG_KEY = {
    "message": "Invalid API key",
    "hint": "Double check your Supabase `anon` or `service_role` API key.",
}

_OWN_BUSINESS = {
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
}


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway has to know.

    Attributes:
        listener: The number of an open socket.
        conninfo: Where PostgreSQL is.
        postgrest: The socket of PostgREST.
        folder: For the bytes of objects.
        secret: What tokens are signed with.
        keys: Every key of the project, and the token that it stands for.
    """

    listener: int
    conninfo: str
    postgrest: str
    folder: str
    secret: str
    keys: dict[str, str]


class Trouble(msgspec.Struct, kw_only=True):
    """What goes wrong with the requests to a path and to what is below it.

    Attributes:
        path: Such as "/storage/v1" or "/rest/v1/images".
        method: Only of this method.
        status: This status instead of the answer.
        body, content_type, headers: With `status`; otherwise it is a proxy's page.
        cut: The connection ends without an answer.
        done: What was asked for is done first; only its answer is lost or late.
        delay: So many seconds pass before the answer, whatever that is.
        after: So many requests pass without it.
        times: And so many have it; None is every one.
    """

    path: str
    method: str | None = None
    status: int | None = None
    body: str = "<html>A proxy's page</html>"
    content_type: str = "text/html"
    headers: dict[str, str] = {}
    cut: bool = False
    done: bool = False
    delay: float = 0
    after: int = 0
    times: int | None = None


class Request(msgspec.Struct, kw_only=True):
    """One request, as it came, and the status of its answer; None for none."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    status: int | None = None


class Gateway:
    """Answers at the project's URL."""

    def __init__(self, setup: Setup) -> None:
        self._keys, self._secret = setup.keys, setup.secret
        self._rows = Rows(setup.conninfo)
        self._storage = Storage(
            self._rows, secret=setup.secret, folder=Path(setup.folder)
        )
        # A connection for each request: PostgREST comes and goes in the drills.
        self._postgrest = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(setup.postgrest, limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
        )
        self._requests: list[Request] = []
        self._troubles: list[Trouble] = []
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()

    async def told(self, request: web.Request) -> web.Response:
        """Answer the tests: what was asked, and what trouble there is from now on."""
        match request.method, request.path:
            case "GET", "/-/requests":
                return web.Response(body=msgspec.json.encode(self._requests))
            case "DELETE", "/-/requests":
                await self._settle()
                self._requests.clear()
            case "DELETE", "/-/troubles":
                self._troubles.clear()
            case "POST", "/-/troubles":
                order = await request.read()
                self._troubles.append(msgspec.json.decode(order, type=Trouble))
        return web.Response()

    async def _settle(self) -> None:
        """Wait for nothing any more, and be done with what is under way."""
        self._hurry.set()
        await self._idle.wait()
        self._hurry.clear()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer anybody, unless there is trouble."""
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _answer(self, request: web.Request) -> web.Response:
        content = await request.read()
        asked = Request(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=content[:100_000].decode(errors="replace"),
        )
        self._requests.append(asked)
        trouble = self._trouble_of(asked)
        if trouble is None:
            answer = await self._route(request, content)
        else:
            answer = await self._spoilt(trouble, request, content)
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        asked.status = answer.status
        return answer

    async def _spoilt(
        self, trouble: Trouble, request: web.Request, content: bytes
    ) -> web.Response | None:
        answer = await self._route(request, content) if trouble.done else None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), trouble.delay)
        if trouble.cut:
            return None
        if trouble.status is not None:
            return web.Response(
                status=trouble.status,
                text=trouble.body,
                content_type=trouble.content_type,
                headers=trouble.headers,
            )
        return await self._route(request, content) if answer is None else answer

    def _trouble_of(self, asked: Request) -> Trouble | None:
        for trouble in self._troubles:
            if trouble.times == 0 or trouble.method not in {None, asked.method}:
                continue
            if not f"{asked.path}/".startswith(f"{trouble.path}/"):
                continue
            if trouble.after:
                trouble.after -= 1
                return None
            if trouble.times is not None:
                trouble.times -= 1
            return trouble
        return None

    async def _route(self, request: web.Request, content: bytes) -> web.Response:
        key = request.headers.get("apikey") or request.query.get("apikey", "")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        browser = request.headers.get("User-Agent", "").startswith("Mozilla")
        # Storage looks at the token itself, and public URLs have none.
        if key.startswith("sb_") or not request.path.startswith("/storage/v1"):
            if not key:
                return web.json_response(NO_KEY, status=401)
            if key not in self._keys or (browser and key.startswith("sb_secret_")):
                return web.json_response(WRONG_KEY, status=401)
        # A new key is no token; that it may be in both places is documented.
        if token in {"", key}:
            token = self._keys.get(key, token)
        match request.path.split("/", 3):
            case ["", "rest", "v1", *_]:
                return await self._rest(request, token, content)
            case ["", "storage", "v1", path]:
                return await self._storage.answer(
                    request, path=path, token=token, content=content
                )
            case ["", "auth", "v1", path]:
                return await self._auth(path, token)
        return web.json_response(
            {"message": "no Route matched with those values"}, status=404
        )

    async def _rest(
        self, request: web.Request, token: str, content: bytes
    ) -> web.Response:
        path = request.rel_url.raw_path_qs.removeprefix("/rest/v1") or "/"
        headers = {**_passed_on(request.headers), "Authorization": f"Bearer {token}"}
        try:
            async with self._postgrest.request(
                request.method,
                URL(f"http://postgrest{path}", encoded=True),
                headers=headers,
                data=content,
                allow_redirects=False,
            ) as theirs:
                return web.Response(
                    status=theirs.status,
                    body=await theirs.read(),
                    headers=_passed_on(theirs.headers),
                )
        except (aiohttp.ClientError, OSError) as error:
            print("postgrest:", repr(error), flush=True)
            return web.json_response({"message": "name resolution failed"}, status=503)

    async def _auth(self, path: str, token: str) -> web.Response:
        """Answer whether there is such a user; nobody but service_role may ask."""
        try:
            claims = jwt.decode(
                token, self._secret, ["HS256"], options={"verify_aud": False}
            )
        except jwt.PyJWTError as error:
            return _auth_refusal(403, "bad_jwt", f"invalid JWT: {error}")
        if claims.get("role") != "service_role":
            return _auth_refusal(403, "not_admin", "User not allowed")
        match path.split("/"):
            case ["admin", "users", user]:
                found = await self._user(user)
                if found is None:
                    return _auth_refusal(404, "user_not_found", "User not found")
                return web.json_response(found)
        return web.Response(status=404, text="404 page not found\n")

    async def _user(self, user: str) -> dict[str, object] | None:
        query = "select * from auth.users where id::text = %s"
        found = await self._rows.one(None, query, user)
        return found and {
            "id": str(found["id"]),
            "aud": "authenticated",
            "role": "authenticated",
            "email": found["email"],
            "app_metadata": {},
            "user_metadata": {},
            "created_at": found["created_at"].isoformat(),
        }


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in _OWN_BUSINESS}


def _auth_refusal(status: int, error_code: str, message: str) -> web.Response:
    body = {"code": status, "error_code": error_code, "msg": message}
    return web.json_response(body, status=status)


async def serve(setup: Setup) -> None:
    """Serve until the process ends."""
    gateway = Gateway(setup)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/-/{path:.*}", gateway.told)
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, socket.socket(fileno=setup.listener)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Setup)))

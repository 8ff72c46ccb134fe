"""The routes of our Replicate."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from tests.integration.replicate.life import Prediction
from tests.integration.replicate.models import Model, faults_in, openapi

if TYPE_CHECKING:
    from tests.integration.replicate.server import ReplicateServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNKNOWN = "The requested resource could not be found."
WORDS = {
    401: ("Unauthenticated", "You did not pass a valid authentication token"),
    402: ("Insufficient credit", "You have insufficient credit to run this model."),
    404: (None, UNKNOWN),
    413: (None, "The file is too large."),
    422: ("Input validation failed", "- input: something is wrong\n"),
    500: (None, "Internal server error"),
}
THROTTLED = "Request was throttled."
PAGE = "<!doctype html><title>{status}</title><h1>Bad gateway</h1>"


class Routes:
    """Answers every request, after the trouble that was ordered for it."""

    def __init__(self, server: "ReplicateServer") -> None:
        self.server = server

    def app(self) -> web.Application:
        app = web.Application(client_max_size=300 * 1024**2)
        add = app.router.add_route
        base = self.server.base
        for method, path, handler in (
            ("GET", "account", self.account),
            ("GET", "models/{owner}/{name}", self.model),
            ("GET", "models/{owner}/{name}/versions/{version}", self.version),
            ("POST", "models/{owner}/{name}/predictions", self.create_by_name),
            ("GET", "deployments/{owner}/{name}", self.deployment),
            ("POST", "deployments/{owner}/{name}/predictions", self.create_deployed),
            ("POST", "predictions", self.create_by_version),
            ("GET", "predictions", self.predictions),
            ("GET", "predictions/{id}", self.prediction),
            ("POST", "predictions/{id}/cancel", self.cancel),
            ("POST", "files", self.upload),
            ("GET", "files/{id}", self.file),
        ):
            add(method, f"{base}/{path}", self.guarded(handler))
        add("GET", "/out/{id}/{name}", self.watched(self.output))
        add("GET", "/elsewhere/{hops}/{id}/{name}", self.watched(self.elsewhere))
        return app

    # Before each request

    def watched(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            path = request.path.removeprefix(self.server.base)
            body = b"" if path == "/files" else await request.read()
            self.server.note_request(request.method, path, request.headers, body)
            order = self.server.trouble_of_request(request.method, path)
            if order is None:
                return await handler(request)
            await asyncio.sleep(order.late)
            if order.drops:
                return self.drop(request)
            if order.status is not None:
                sent = self.spoilt(order.status, order.body, asdict(order))
            else:
                sent = await handler(request)
            if order.held:
                await self.server.released.wait()
            return sent

        return handle

    def guarded(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not self.knows(request):
                return problem(401)
            return await handler(request)

        return self.watched(handle)

    def knows(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return given == f"Bearer {self.server.token}"

    def spoilt(
        self, status: int, body: str | None, order: Mapping[str, Any]
    ) -> web.Response:
        headers = {
            name: order[key]
            for name, key in (("Retry-After", "retry_after"), ("Location", "location"))
            if order[key] is not None
        }
        if body is None and status in {502, 503, 504}:
            body = PAGE.format(status=status)
        if body is None:
            return problem(status, headers=headers)
        kind = "text/html" if body.startswith("<") else "application/json"
        return web.Response(
            status=status, text=body, content_type=kind, headers=headers
        )

    def drop(self, request: web.Request) -> web.Response:
        """Cut the connection without an answer."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    # What there is

    async def account(self, _: web.Request) -> web.Response:
        return answer({"type": "organization", "username": "acme", "name": "Acme"})

    async def model(self, request: web.Request) -> web.Response:
        model = self.model_in(request)
        if model is None:
            return problem(404)
        said: dict[str, Any] = {
            "owner": request.match_info["owner"],
            "name": request.match_info["name"],
            "description": "A model.",
            "latest_version": self.version_of(model, model.version, model.properties),
            "default_example": {"output": model.example},
            "run_count": 7,
        }
        if model.says_official:
            said["is_official"] = model.official
        return answer(said)

    async def version(self, request: web.Request) -> web.Response:
        model, version = self.model_in(request), request.match_info["version"]
        properties = model.properties_of(version) if model else None
        if model is None or properties is None:
            return problem(404)
        return answer(self.version_of(model, version, properties))

    async def deployment(self, request: web.Request) -> web.Response:
        model = self.deployed_in(request)
        if model is None:
            return problem(404)
        release = {"number": 1, "model": model.name, "version": model.version}
        return answer({**request.match_info, "current_release": release})

    def model_in(self, request: web.Request) -> Model | None:
        owner, name = request.match_info["owner"], request.match_info["name"]
        return self.server.models.get(f"{owner}/{name}")

    def deployed_in(self, request: web.Request) -> Model | None:
        owner, name = request.match_info["owner"], request.match_info["name"]
        runs = self.server.deployments.get(f"{owner}/{name}")
        return None if runs is None else self.server.models[runs]

    def version_of(self, model: Model, version: str, properties: Any) -> dict[str, Any]:
        return {
            "id": version,
            "cog_version": "0.16.8",
            "created_at": "2026-04-01T00:00:00.5Z",
            "openapi_schema": openapi(properties),
        }

    # Orders

    async def create_by_name(self, request: web.Request) -> web.StreamResponse:
        model = self.model_in(request)
        if model is None or not model.official:
            return problem(404)
        return await self.create(request, model, model.version)

    async def create_deployed(self, request: web.Request) -> web.StreamResponse:
        model = self.deployed_in(request)
        if model is None:
            return problem(404)
        info = request.match_info
        deployment = f"{info['owner']}/{info['name']}"
        return await self.create(request, model, model.version, deployment=deployment)

    async def create_by_version(self, request: web.Request) -> web.StreamResponse:
        wanted = str((await request.json()).get("version", ""))
        for model in self.server.models.values():
            if model.properties_of(wanted) is not None:
                return await self.create(request, model, wanted)
        return problem(
            422,
            title="Invalid version or not permitted",
            detail="The specified version does not exist (or perhaps you don't have"
            " permission to use it?)",
        )

    async def create(
        self,
        request: web.Request,
        model: Model,
        version: str,
        *,
        deployment: str | None = None,
    ) -> web.StreamResponse:
        trouble = self.server.trouble_of_prediction()
        if trouble.drops_before_accepting:
            return self.drop(request)
        if trouble.refuses_with is not None:
            return refusal(
                trouble.refuses_with, trouble.detail, trouble.waits, trouble.says_wait
            )
        given = (await request.json())["input"]
        faults = faults_in(model.properties_of(version) or {}, given)
        if faults:
            lines = "".join(f"- {f['field']}: {f['description']}\n" for f in faults)
            return problem(422, detail=lines, invalid_fields=faults)
        prediction = self.server.accept(
            model, version, given, trouble=trouble, deployment=deployment
        )
        match trouble.accepts_then:
            case "500" | "503" as status:
                return self.spoilt(int(status), None, NOTHING)
            case "drop":
                return self.drop(request)
            case "hang":
                await asyncio.sleep(3600)
            case "garbage":
                return web.Response(text="<html>", content_type="text/html")
            case _:
                await asyncio.sleep(trouble.answer_late)
        return await self.created(request, prediction)

    async def created(
        self, request: web.Request, prediction: Prediction
    ) -> web.StreamResponse:
        wait = request.headers.get("Prefer", "").partition("wait=")[2]
        if not wait:
            return answer(prediction.shown(), status=201)
        if prediction.trouble.never_ends:
            await asyncio.sleep(min(0.2, float(wait)))
        else:
            prediction.finish_now()
        done = bool(prediction.contents)
        return answer(
            prediction.shown(early=done),
            status=201 if done else 202,
            headers={"Preference-Applied": f"wait={wait}"},
        )

    # Predictions

    async def prediction(self, request: web.Request) -> web.StreamResponse:
        prediction = self.server.by_id(request.match_info["id"])
        if prediction is None:
            return problem(404)
        prediction.go_on(look=True)
        self.server.note()
        return answer(prediction.shown())

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        prediction = self.server.by_id(request.match_info["id"])
        if prediction is None:
            return problem(404)
        prediction.cancel()
        self.server.note()
        return answer(prediction.shown())

    async def predictions(self, request: web.Request) -> web.StreamResponse:
        there = self.server.predictions[::-1]
        begin = int(request.query.get("cursor", "0"))
        end = begin + self.server.page_size
        for prediction in there[begin:end]:
            prediction.go_on()
        # The link leads elsewhere: it must not be followed with the token.
        link = "https://somewhere.example/predictions?cursor={}"
        return answer(
            {
                "previous": link.format(max(0, begin - 1)) if begin else None,
                "next": link.format(end) if end < len(there) else None,
                "results": [each.shown(listed=True) for each in there[begin:end]],
            },
            headers={"Date": self.server.date()},
        )

    # Files

    async def upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        part = form["content"]
        assert isinstance(part, web.FileField)
        content = part.file.read()
        file_id = self.server.keep_file(part.filename, part.content_type, content)
        return answer(self.file_shown(file_id), status=201)

    async def file(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["id"]
        if file_id not in self.server.files:
            return problem(404)
        return answer(self.file_shown(file_id))

    def file_shown(self, file_id: str) -> dict[str, Any]:
        name, kind, content = self.server.files[file_id]
        return {
            "id": file_id,
            "name": name,
            "content_type": kind,
            "size": len(content),
            "checksums": {"sha256": hashlib.sha256(content).hexdigest()},
            "urls": {"get": f"{self.server.url}/files/{quote(file_id)}"},
        }

    async def output(self, request: web.Request) -> web.StreamResponse:
        prediction = self.server.by_id(request.match_info["id"])
        number = int(request.match_info["name"].partition("-")[2].partition(".")[0])
        if prediction is None or number >= len(prediction.contents):
            return web.Response(status=404, text="gone")
        trouble = prediction.trouble
        if trouble.guarded and not self.knows(request):
            return web.Response(status=401, text="who are you?")
        prediction.asked_files += 1
        if trouble.file_status and prediction.asked_files <= trouble.file_status_times:
            return web.Response(status=trouble.file_status)
        if trouble.redirects_to is not None:
            raise web.HTTPFound(trouble.redirects_to)
        if trouble.redirects:
            rest = f"{prediction.id}/{request.match_info['name']}"
            raise web.HTTPFound(f"/elsewhere/{trouble.redirects - 1}/{rest}")
        return await self.sent(request, prediction, prediction.contents[number])

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        if int(info["hops"]):
            hops = int(info["hops"]) - 1
            raise web.HTTPFound(f"/elsewhere/{hops}/{info['id']}/{info['name']}")
        prediction = self.server.by_id(info["id"])
        assert prediction is not None
        return await self.sent(request, prediction, prediction.contents[0])

    async def sent(
        self, request: web.Request, prediction: Prediction, content: bytes
    ) -> web.StreamResponse:
        if prediction.asked_files <= prediction.trouble.cut_times:
            return web.Response(body=content[: len(content) // 2])
        match prediction.trouble.file:
            case "endless":
                stream = web.StreamResponse()
                await stream.prepare(request)
                while True:
                    await stream.write(bytes(2**20))
            case "cut":
                self.server.served.append(content[: len(content) // 2])
                return web.Response(body=content[: len(content) // 2])
            case _:
                self.server.served.append(content)
                return web.Response(body=content)


NOTHING: Mapping[str, Any] = {"retry_after": None, "location": None}


def answer(
    said: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(said).encode(),
        content_type="application/json",
        headers=headers,
    )


def problem(
    status: int,
    *,
    title: str | None = None,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> web.Response:
    """A refusal as Replicate words it."""
    usual_title, usual_detail = WORDS.get(status, (None, "It did not work."))
    said = {"detail": detail or usual_detail, "status": status, **more}
    if title or usual_title:
        said["title"] = title or usual_title
    return web.Response(
        status=status,
        body=json.dumps(said).encode(),
        content_type="application/problem+json",
        headers=headers,
    )


def refusal(
    status: int, detail: str | None, waits: float | None, says_wait: str
) -> web.Response:
    if status != 429:
        return problem(status, detail=detail)
    words = detail or THROTTLED
    match says_wait:
        case "header":
            return problem(429, detail=words, headers={"Retry-After": f"{waits:g}"})
        case "words":
            return problem(
                429, detail=f"{words} Your rate limit resets in ~{waits:g}s."
            )
        case _ if waits is None:
            return problem(429, detail=words)
        case _:
            return problem(429, detail=words, retry_after=waits)

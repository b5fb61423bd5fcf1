"""A service over HTTP: JSON in, JSON out, and every fault with a status and one sentence."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from regard.decoding.writer import Part
from regard.serving import metrics
from regard.serving.documents import page
from regard.serving.guard import Guard
from regard.serving.limits import Refused
from regard.serving.service import GONE, Service, parts
from regard.serving.uses import Body, Use
from regard.serving.writing import Text, ToWrite, Written, WrittenPart
from regard.storage.names import did_you_mean

JSON = "application/json"
LINES = "application/x-ndjson"
FAULTS = {
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The body is not what the endpoint takes, or exceeds a limit.",
    500: "The service itself is at fault; its log has more.",
    503: "The service is full, has more to read than it can in time, or stops; Retry-After says when to try again.",
    504: "The answer was not ready in time.",
}
RETRY = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}}
TEXTS = (
    "Takes JSON, and refuses fields which it does not know. Texts of several requests are computed together, and each "
    "gets the answer which it would get alone. Where there is none, `error` says why in one sentence; `/about` has the "
    "limits of a request."
)
STREAMED = "With `stream` one JSON object a line comes as soon as there is more text."
Kind = TypeVar("Kind", bound=Body)
Handler = Callable[[Request], Awaitable[Response]]


class Fault(BaseModel):
    """Why there is no answer, in one sentence."""

    error: str


class Health(BaseModel):
    """Whether the service lives, and whether it takes requests."""

    live: bool
    ready: bool


def application(service: Service) -> FastAPI:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """The threads of the service live as long as the application."""
        async with service.running():
            yield

    app = FastAPI(
        title="regard",
        description=f"Serves {service.purpose}.",
        version="1",  # of what is here, not of the library
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for use in service.uses.values():
        _add(app, f"/{use.name}", _computing(service, use), use.about, use.body, use.answer, use.example())
    if not service.uses:
        about = "What the model writes after a prompt; with `stream`, one JSON object a line as the text comes."
        example = {"prompt": "Once upon a time", "tokens": 40, "temperature": 0.8}
        _add(app, "/generate", _writing(service), about, ToWrite, Written, example, streamed=WrittenPart)
    _add_facts(app, service)
    app.add_middleware(Guard, service=service)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, partial(_unknown, service))
    app.add_exception_handler(Exception, _failed)
    return app


def _add(
    app: FastAPI,
    path: str,
    handler: Handler,
    about: str,
    body: type[Body],
    answer: type[BaseModel],
    example: dict[str, Any],
    streamed: type[BaseModel] | None = None,
) -> None:
    """An endpoint which takes texts; `streamed` is a line of its answer, where that may come in parts."""
    schema = body.model_json_schema() | {"examples": [example]}
    lines = {} if streamed is None else {LINES: {"schema": streamed.model_json_schema()}}
    app.add_api_route(
        path,
        handler,
        methods=["POST"],
        summary=about,
        description=TEXTS if streamed is None else f"{TEXTS} {STREAMED}",
        name=path.strip("/"),
        response_class=JSONResponse,
        responses={200: {"model": answer, "description": answer.__doc__ or "", "content": lines}, **_faults()},
        openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}},
    )


def _faults() -> dict[int | str, dict[str, Any]]:
    """What is declared of the statuses which are no answer."""
    faults: dict[int | str, dict[str, Any]] = {
        status: {"model": Fault, "description": text} for status, text in FAULTS.items()
    }
    faults[503]["headers"] = RETRY
    return faults


def _add_facts(app: FastAPI, service: Service) -> None:
    """The endpoints which tell of the service."""

    @app.head("/health", include_in_schema=False)
    @app.get(
        "/health",
        summary="Whether the service lives, and takes requests.",
        description="For probes: 200 as long as requests are taken, and 503 once the service stops or cannot work.",
        responses={
            200: {"model": Health, "description": "Requests are taken and worked on."},
            503: {"model": Health, "description": "The service stops, or its threads have ended."},
        },
    )
    async def health() -> Response:
        """Liveness and readiness."""
        return JSONResponse({"live": True, "ready": service.is_ready}, 200 if service.is_ready else 503)

    @app.get(
        "/about",
        summary="The model, its labels and the limits of requests.",
        description="An object with the model, its endpoints and its device, and under `limits` what one may ask; of "
        "an encoder its head, labels and width too, of a language model its context.",
        responses={200: {"description": "What a client may want to know before it asks."}},
    )
    async def about() -> Response:
        """Facts."""
        return _json(service.about())

    @app.get(
        "/metrics",
        summary="Figures for Prometheus.",
        description="Requests by endpoint and status, how long they took, what was computed together, and what waits.",
        response_class=PlainTextResponse,
        responses={200: {"description": "The text format of Prometheus, version 0.0.4."}},
    )
    async def figures() -> Response:
        """Metrics."""
        return Response(service.metrics.page(service.gauges()), media_type=metrics.MEDIA_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def documents(request: Request) -> Response:
        """The description of the service for people."""
        return HTMLResponse(page(app.openapi(), str(request.base_url)))

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        """The way to the description."""
        return RedirectResponse("docs")


def _computing(service: Service, use: Use[Any]) -> Handler:
    """Answers to requests which are computed in batches."""

    async def handle(request: Request) -> Response:
        """One of them."""
        async with _in_time(service, request):
            body, size = await _read(request, use.body, service.limits.body)
            return _json(await service.compute(use, body, size, partial(_departure, request)))

    return handle


def _writing(service: Service) -> Handler:
    """Texts, whole or as they come."""

    async def handle(request: Request) -> Response:
        """One of them."""
        async with _in_time(service, request) as deadline:
            body, size = await _read(request, ToWrite, service.limits.body)
            text = await service.write(body, size)
            coming, has_begun = parts(text), False
            watch = asyncio.ensure_future(_departure(request))
            watch.add_done_callback(lambda task: task.cancelled() or text.parts.put_nowait(Refused(GONE, "has left")))
            try:
                first = await anext(coming)
                if not body.stream:
                    told = [first.text]
                    told += [part.text async for part in coming]
                    return _json({"text": "".join(told), "ended": text.line.ended, "tokens": text.tokens})
                has_begun = True
            finally:
                watch.cancel()
                if not has_begun:
                    service.drop(text)
        return StreamingResponse(_stream(service, text, first, coming, deadline.when()), media_type=LINES)

    return handle


async def _stream(
    service: Service, text: Text, first: Part, rest: AsyncIterator[Part], until: float | None
) -> AsyncIterator[bytes]:
    """One JSON object a line; the last says why the text ended, or what went wrong."""
    try:
        part = first
        while not part.ended:
            yield _line({"text": part.text})
            async with asyncio.timeout_at(until):
                part = await anext(rest)
        yield _line({"text": part.text, "ended": part.ended, "tokens": text.tokens})
    except TimeoutError:
        yield _line({"error": f"stopped after {service.limits.seconds:g} s, which is the limit of a request"})
    except Exception:
        yield _line({"error": "an internal error"})
        raise
    finally:
        service.drop(text)


@asynccontextmanager
async def _in_time(service: Service, request: Request) -> AsyncIterator[asyncio.Timeout]:
    """What must be done within the seconds of a request."""
    seconds = service.limits.seconds
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield deadline
    except TimeoutError:
        if getattr(request.state, "is_read", False):
            raise Refused(504, f"no answer within {seconds:g} s, which is the limit; ask for less at once") from None
        raise Refused(408, f"the body did not arrive within {seconds:g} s") from None


async def _read(request: Request, kind: type[Kind], limit: int) -> tuple[Kind, int]:
    """The body of a request, and its size in bytes.

    A body which is too large is read to its end, and none of it is kept: who is still sending would not see an answer.

    Raises:
        Refused: if it is too large, not declared as JSON, or not what is asked for here.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                chunks.clear()
    except ClientDisconnect:
        raise Refused(GONE, "the client has left") from None
    request.state.is_read = True
    if size > limit:
        raise Refused(413, f"the body has {size:,} bytes, and the limit is {limit:,}; ask in parts")
    if said != JSON:
        raise Refused(415, f"the body must be declared as JSON: set the header Content-Type to {JSON}, got {said!r}")
    try:
        return kind.model_validate_json(b"".join(chunks)), size
    except ValidationError as error:
        raise Refused(422, _said(error, kind)) from None


def _said(error: ValidationError, kind: type[Body]) -> str:
    """The first fault of a body in one sentence."""
    fault = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    match fault["type"]:
        case "json_invalid":
            return f"the body is not JSON: {fault['msg'].removeprefix('Invalid JSON: ')}"
        case "extra_forbidden":
            fields = ", ".join(kind.model_fields)
            return f"unknown field {place[:60]!r}{did_you_mean(place[:60], kind.model_fields)}; the fields are {fields}"
        case "missing":
            return f"the field {place} is missing; the fields are {', '.join(kind.model_fields)}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{place or 'the body'}: {message}, got {_cut(repr(fault['input']))}"


def _cut(text: str, most: int = 60) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else f"{text[:most]} ..."


async def _departure(request: Request) -> None:
    """Return when the client leaves; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(value: dict[str, Any]) -> Response:
    """An answer; numbers which JSON does not have are null."""
    return Response(to_json(value, inf_nan_mode="null"), media_type=JSON)


def _line(value: dict[str, Any]) -> bytes:
    """A line of a streamed answer."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


async def _refused(_: Request, error: Exception) -> Response:
    """The answer to what may not be asked."""
    assert isinstance(error, Refused)
    headers = {} if error.after is None else {"Retry-After": str(error.after)}
    return JSONResponse({"error": str(error)}, error.status, headers=headers)


async def _unknown(service: Service, request: Request, error: Exception) -> Response:
    """The answer where there is no such path, or where it takes another method."""
    assert isinstance(error, HTTPException)
    path, said = request.url.path, error.detail
    if error.status_code == 404:
        said = service.missing(path)
    elif error.status_code == 405:
        takes = "POST" if path in service.endpoints else "GET"
        said = f"{path} takes {takes}, not {request.method[:20]}"
    return JSONResponse({"error": said}, error.status_code, headers=error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    """The answer where the service itself is at fault; the error is logged by the server."""
    return JSONResponse({"error": "an internal error; the log of the service has it"}, 500)

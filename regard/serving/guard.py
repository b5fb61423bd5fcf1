"""What stands before all endpoints: it counts requests, and refuses those for which there is no room."""

import asyncio
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regard.serving.service import FACTS, GONE, Service

SENDING = 5.0  # seconds which a client may take for an answer that is ready, beyond those of the request
RETRY = "1"  # seconds


class Guard:
    """An ASGI application around another.

    Args:
        app: the other.
        service: whose metrics it keeps.
    """

    def __init__(self, app: ASGIApp, service: Service):
        self.app, self.service = app, service
        self.paths = frozenset((*service.endpoints, *FACTS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            """Send, and remember the status."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if scope["method"] == "POST":
                await self._admitted(scope, receive, noted)
            else:
                await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            status = status or GONE
            raise
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.service.metrics.request(path, status or 500, time.monotonic() - begun)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request which costs something, if there is room for it."""
        service = self.service
        if service.is_stopping or service.open >= service.limits.requests:
            why = "the service is stopping" if service.is_stopping else f"{service.open} requests are open, the most"
            refusal = JSONResponse({"error": f"{why}; try again later"}, 503, headers={"Retry-After": RETRY})
            await refusal(scope, receive, send)
            return
        service.open += 1
        try:
            async with asyncio.timeout(service.limits.seconds + SENDING):
                await self.app(scope, receive, send)
        except TimeoutError:
            pass  # the client does not take its answer; the server closes the connection
        finally:
            service.open -= 1

"""A model as a service: which endpoints it has, and how a request waits for what it asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from regard.decoding.translator import Translator
from regard.decoding.writer import Part, Writer
from regard.reading.directory import Trained
from regard.reading.reader import Reader
from regard.serving.batching import Batcher, Job
from regard.serving.deciding import Choosing, Predicting, Tagging
from regard.serving.finding import Answering, Embedding, Filling
from regard.serving.limits import Limits, Refused
from regard.serving.metrics import Metrics
from regard.serving.reading import ReadingUse
from regard.serving.translating import LONGEST, Translating
from regard.serving.uses import Asked, Body, Use
from regard.serving.writing import SharedWriter, Text, ToWrite

LONG = 4096  # bytes of a body whose texts are cut into tokens beside the event loop
GONE = 499  # the status of a request whose client left before the answer; nobody receives it
HEADS: dict[str, type[ReadingUse[Any]]] = {  # the endpoint of each; one of permuted words has none
    "classification": Predicting,
    "regression": Predicting,
    "similarity": Predicting,
    "tagging": Tagging,
    "choice": Choosing,
    "span": Answering,
    "conditional-span": Answering,
    "masked": Filling,
    "masked-pair": Filling,
}
FACTS = ("/health", "/metrics", "/about", "/docs", "/openapi.json")
PURPOSES = {  # of each endpoint: what a model must have for it
    "predict": "a head for classification, regression or similarity",
    "tag": "a head for tagging",
    "choose": "a head for choice",
    "answer": "a head for spans",
    "fill": "a head for masked words",
    "embed": "an encoder",
    "translate": "an encoder-decoder",
    "generate": "a language model",
}
Value = TypeVar("Value")
Departure = Callable[[], Coroutine[Any, Any, None]]


class Service:
    """What all requests share.

    Args:
        model: which `regard.load` gives; of an encoder `longest` is set to the service's limit, where it has one,
            and `batch` to that of a thread.
        limits: of requests.
        threads: which compute; on another device than the processor one is enough.
    """

    def __init__(self, model: Trained, limits: Limits, threads: int):
        self.model, self.limits, self.metrics = model, limits, Metrics()
        self.is_stopping = False
        self.open = 0  # requests which wait or are at work
        self.uses: dict[str, Use[Any]] = {}
        side_by_side = threads if model.device.type == "cpu" else 1
        if isinstance(model, Writer):
            self.worker: SharedWriter | Batcher = SharedWriter(model, limits, threads, self.metrics)
            return
        self.worker = Batcher(limits, side_by_side, self.metrics)
        if isinstance(model, Translator):
            uses = [Translating(model, limits)]
        else:
            model.longest, model.batch = min(model.longest, limits.longest or model.longest), limits.batch
            uses = [HEADS[model.head](model, limits)] if model.head in HEADS else []
            uses.append(Embedding(model, limits))
        self.uses = {use.name: use for use in uses}

    @property
    def endpoints(self) -> list[str]:
        """The paths to which texts can be sent."""
        return [f"/{name}" for name in self.uses] or ["/generate"]

    @property
    def purpose(self) -> str:
        """What the model is, in words."""
        model = self.model
        if isinstance(model, Reader):
            return f"{type(model.encoder).__name__} with {f'a head for {model.head}' if model.head else 'no head'}"
        kind = "an encoder-decoder" if isinstance(model, Translator) else "a language model"
        return f"{type(model.model).__name__}, {kind}"

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken, and are worked on."""
        return self.worker.is_alive and not self.is_stopping

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the threads work."""
        self.worker.start()
        try:
            yield
        finally:
            self.is_stopping = True
            await self.worker.close()

    def about(self) -> dict[str, Any]:
        """What a client may want to know of the model, and of what it may ask."""
        model = self.model
        longest = self.limits.longest
        if isinstance(model, Reader):
            longest = model.longest
        elif isinstance(model, Translator):
            longest = longest or LONGEST
        limits = {**vars(self.limits), "longest": longest}
        about: dict[str, Any] = {"model": self.purpose, "endpoints": self.endpoints}
        if isinstance(model, Reader):
            about |= {"head": model.head or None, "labels": list(model.labels), "width": model.model.config.width}
        if isinstance(model, Writer):
            about["context"] = model.context
        return about | {"device": str(model.device), "limits": limits}

    def missing(self, path: str) -> str:
        """What is said of a path which is not there."""
        name = path.strip("/")
        needs = f"; /{name} needs {PURPOSES[name]}" if name in PURPOSES else ""
        there = ", ".join([*self.endpoints, *FACTS])
        return f"no {path[:60]} here: this model is {self.purpose}{needs}; there are {there}"

    def gauges(self) -> dict[str, tuple[str, float]]:
        """What is so now."""
        return {
            "regard_requests_open": ("Requests which wait or are at work.", self.open),
            "regard_queue_length": ("Requests of which something waits for a thread.", len(self.worker)),
            "regard_queue_tokens": ("Tokens which wait to be read.", self.worker.tokens),
            "regard_ready": ("Whether requests are taken.", int(self.is_ready)),
        }

    async def compute(self, use: Use[Any], body: Body, size: int, departure: Departure) -> dict[str, Any]:
        """The answer to a request.

        Args:
            use: the endpoint.
            body: of the request.
            size: of the body, in bytes.
            departure: returns when the client leaves.

        Raises:
            Refused: if it cannot be answered.
        """
        assert isinstance(self.worker, Batcher)
        asked: Asked = await _aside(use.ask, body, size)
        if sum(asked.sizes) > self.limits.tokens:
            raise Refused(
                422,
                f"{sum(asked.sizes):,} tokens must be read for this, and the limit is "
                f"{self.limits.tokens:,}; ask in parts",
            )
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        job = Job(
            (use.name, asked.options),
            lambda items: use.compute(items, asked.options),
            asked.items,
            asked.sizes,
            future,
        )
        self.worker.submit(job)
        watch = asyncio.ensure_future(departure())
        watch.add_done_callback(lambda task: _leave(task, future))
        try:
            return use.give(body, asked, await future)
        except ValueError as error:
            raise Refused(422, str(error)) from error
        finally:
            watch.cancel()
            if not future.done() or future.cancelled() or future.exception() is not None:
                self.worker.drop(job)

    async def write(self, body: ToWrite, size: int) -> Text:
        """A text which is being written from now on; `drop` it when nobody waits for it any more."""
        assert isinstance(self.worker, SharedWriter)
        text = await _aside(self.worker.ask, body, size)
        self.worker.submit(text)
        return text

    def drop(self, text: Text) -> None:
        """Stop writing a text."""
        assert isinstance(self.worker, SharedWriter)
        self.worker.drop(text)


async def parts(text: Text) -> AsyncIterator[Part]:
    """What is written, as it comes.

    Raises:
        Exception: what went wrong with it.
    """
    while True:
        part = await text.parts.get()
        if isinstance(part, Exception):
            raise part
        yield part
        if part.ended:
            return


async def _aside(ask: Callable[[Any], Value], body: Body, size: int) -> Value:
    """What a body asks for; a large one is looked at beside the event loop, which must not wait for it."""
    try:
        return await asyncio.to_thread(ask, body) if size > LONG else ask(body)
    except ValueError as error:
        raise Refused(422, str(error)) from error


def _leave(watch: asyncio.Future[None], future: asyncio.Future[Any]) -> None:
    """Wait no longer when the client has left."""
    if not watch.cancelled() and not future.done():
        future.set_exception(Refused(GONE, "the client has left"))

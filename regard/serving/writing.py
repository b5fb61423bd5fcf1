"""Texts which are written together, token by token: new ones join while others go on, and whose reader has left is out.

One thread makes one step after another, each for all texts, so that a long text never keeps a short one waiting.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from regard.decoding.sample import Sampling
from regard.decoding.writer import SEEDS, Line, Part, Writer, appeared
from regard.serving.limits import Limits, Refused
from regard.serving.metrics import Metrics
from regard.serving.uses import Answer, Body


class ToWrite(Body):
    """A prompt, and how to go on from it."""

    prompt: str
    tokens: Annotated[int, Field(ge=1, description="New ones at most.")] = 100
    temperature: Annotated[float, Field(ge=0, le=100, description="0 is greedy.")] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1 << 31, description="0 draws from all tokens.")] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100, description="Above 1 avoids what is there.")] = 1.0
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(max_length=16, description="Texts which end what is written; they are not part of it."),
    ] = ()
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    window: Annotated[bool, Field(description="Let a long text slide through the model's context.")] = False
    stream: Annotated[bool, Field(description="Answer with one JSON object a line, as the text comes.")] = False


class Written(Answer):
    """What was written, why it ended (end, stop or length), and of how many tokens it is."""

    text: str
    ended: str
    tokens: int


class WrittenPart(Answer):
    """A line of a streamed answer: more text; the last also says why it ended, or is an error in place of a text."""

    text: str = ""
    ended: str = ""
    tokens: int = 0
    error: str = ""


@dataclass(eq=False)
class Text:
    """A text which is being written for a request.

    Args:
        line: the prompt's ids and what was written after them.
        sampling: how its tokens are drawn.
        parts: what is new; or an error, after which nothing comes.
    """

    line: Line
    sampling: Sampling
    parts: asyncio.Queue[Part | Exception] = field(default_factory=asyncio.Queue)
    is_dropped: bool = False
    is_told: bool = False  # whether anything was told of it

    def __post_init__(self):
        self.read = len(self.line.ids)

    @property
    def tokens(self) -> int:
        """Written so far."""
        return len(self.line.ids) - self.read


class SharedWriter(Writer):
    """A writer of many requests.

    Args:
        writer: whose model and tokenizer are used.
        limits: `lines` texts are written together, the others wait.
        threads: of torch.
        metrics: to count batches and tokens in.
    """

    def __init__(self, writer: Writer, limits: Limits, threads: int, metrics: Metrics):
        super().__init__(writer.model, writer.tokenizer)
        self.limits, self.threads, self.metrics = limits, threads, metrics
        self._waiting: deque[Text] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="writing", daemon=True)

    def start(self) -> None:
        """Begin, inside of the event loop which waits for texts."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Finish what is there, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join)

    @property
    def is_alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def __len__(self) -> int:
        """Texts which wait to be begun."""
        return len(self._waiting)

    @property
    def tokens(self) -> int:
        """Tokens of the prompts which wait."""
        with self._changed:
            return sum(text.read for text in self._waiting)

    def ask(self, body: ToWrite) -> Text:
        """What a request asks for.

        Raises:
            Refused, ValueError: if it may not be.
        """
        if body.tokens > self.limits.new_tokens:
            raise Refused(422, f"tokens is {body.tokens:,}, and the limit is {self.limits.new_tokens:,}")
        sampling = Sampling(body.repetition_penalty, body.temperature, body.top_k, body.top_p)
        ids = self.ids_of(0, body.prompt, body.tokens, body.window)
        longest = min(self.limits.tokens, self.limits.longest or self.limits.tokens)
        if len(ids) > longest:
            raise Refused(422, f"the prompt has {len(ids):,} tokens, and the limit is {longest:,}; shorten it")
        return Text(Line(0, ids, self.tokenizer, body.stop, body.tokens, body.seed), sampling)

    def submit(self, text: Text) -> None:
        """Queue a text."""
        with self._changed:
            self._waiting.append(text)
            self._changed.notify()

    def drop(self, text: Text) -> None:
        """Stop writing a text for which nobody waits any more, at the next step."""
        text.is_dropped = True
        with self._changed:
            if text in self._waiting:
                self._waiting.remove(text)

    @torch.inference_mode()
    def _work(self) -> None:
        """What the thread does: a step for all texts, then the next; only what they share can end them all."""
        torch.set_num_threads(self.threads)
        texts: list[Text] = []
        scores, state = torch.empty(0), None
        while (fresh := self._fresh(len(texts))) is not None:
            try:
                if fresh and (begun := self._begun(fresh)) is not None:
                    before, texts = texts, texts + fresh
                    scores = torch.cat([scores, begun[0]]) if before else begun[0]
                    state = state.join(begun[1]) if before and state is not None else begun[1]
                if texts:
                    self._tell(self._drawn(texts, scores))
                    texts, scores, state = self._next(texts, scores, state)
            except Exception as error:
                self._fail(texts, error)
                texts = []

    def _fresh(self, at_work: int) -> list[Text] | None:
        """Texts for which there is room; waits where there is nothing else to do; None when all is over."""
        with self._changed:
            while not self._waiting and not at_work:
                if self._is_closing:
                    return None
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self.limits.lines - at_work))]

    def _begun(self, fresh: list[Text]) -> tuple[Tensor, Any] | None:
        """Scores after the prompts, and the state; None where they cannot be read, which is no matter of the others."""
        try:
            return self.started([text.line for text in fresh])
        except Exception as error:
            self._fail(fresh, error)
            return None

    def _drawn(self, texts: Sequence[Text], scores: Tensor) -> list[tuple[Text, int]]:
        """The texts with their next tokens, each drawn as its text wants it; without those whose drawing fails."""
        chances = torch.cat([torch.rand(1, generator=text.line.chance) for text in texts])
        drawn = []
        for sampling in {text.sampling for text in texts}:
            rows = torch.tensor([n for n, text in enumerate(texts) if text.sampling == sampling])
            own = [texts[n] for n in rows.tolist()]
            drawn += self._chosen(own, scores[rows.to(scores.device)], chances[rows])
        return drawn

    def _chosen(self, texts: list[Text], scores: Tensor, chances: Tensor) -> list[tuple[Text, int]]:
        """The next tokens of texts which want them drawn alike; where that fails, of each by itself."""
        sampling, lines = texts[0].sampling, [text.line for text in texts]
        try:
            is_there = appeared(lines, scores) if sampling.repetition_penalty != 1.0 else None
            return list(zip(texts, sampling.choose(scores, chances, is_there).tolist(), strict=True))
        except Exception as error:
            if len(texts) == 1:
                self._fail(texts, error)
                return []
        alone = (self._chosen([text], scores[[n]], chances[[n]]) for n, text in enumerate(texts))
        return [one for found in alone for one in found]

    def _next(self, texts: list[Text], scores: Tensor, state: Any) -> tuple[list[Text], Tensor, Any]:
        """Those which go on, with the scores of the next step."""
        going = [n for n, text in enumerate(texts) if not text.line.ended and not text.is_dropped]
        if not going:
            return [], scores, None
        owners = {id(text.line): text for text in texts}
        scores, lines, state = self.stepped([text.line for text in texts], going, state)
        return [owners[id(line)] for line in lines], scores, state

    def _tell(self, drawn: Sequence[tuple[Text, int]]) -> None:
        """Hand over what the tokens add to each text; one which cannot take its token ends with the error."""
        parts: list[tuple[Text, Part | None]] = []
        for text, token in drawn:
            try:
                parts.append((text, text.line.add(token)))
            except Exception as error:
                self._fail([text], error)
        self._loop.call_soon_threadsafe(self._deliver, parts)

    def _deliver(self, parts: Sequence[tuple[Text, Part | None]]) -> None:
        """The same, in the event loop."""
        self.metrics.batch(len(parts), len(parts))
        self.metrics.tokens["written"] += len(parts)
        for text, part in parts:
            if not text.is_told:
                self.metrics.tokens["read"] += text.read
                text.is_told = True
            if part is not None:
                text.parts.put_nowait(part)

    def _fail(self, texts: Sequence[Text], error: Exception) -> None:
        """End texts with an error, at the next step."""
        for text in texts:
            text.is_dropped = True
            self._loop.call_soon_threadsafe(text.parts.put_nowait, error)

"""A trained language model with its tokenizer: prompts in, texts out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.decoding.beam import Entering, Ranking, beam_search
from regard.decoding.loaded import Loaded, require_list
from regard.decoding.sample import Sampling
from regard.layers.dropout import without_dropout
from regard.layers.state import Hypotheses
from regard.models.directory import require_reading
from regard.models.saved import load_model, save_model
from regard.text.directory import save_tokenizer
from regard.text.tokenizer import Tokenizer

SEEDS = 1 << 63  # so many, which generators and JSON readers take


@dataclass(frozen=True)
class Part:
    """What has been added to the text after a prompt."""

    prompt: int  # its number
    text: str
    ended: str = ""  # why the text is over: end (of text), stop or length; nothing while it goes on


class Writer(Loaded):
    """What `regard.load` gives for a language model.

    Args:
        model: ids to scores.
        tokenizer: of the model.

    Raises:
        ValueError: if the two know different numbers of ids.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer):
        if model.config.vocabulary != tokenizer.size:
            raise ValueError(
                f"the model knows {model.config.vocabulary:,} ids, the tokenizer {tokenizer.size:,}: they do not "
                "belong together"
            )
        self.model, self.tokenizer = model, tokenizer

    @classmethod
    def load(cls, folder: str | Path, **changes: Any) -> "Writer":
        """The model and the tokenizer in `folder`; `changes` are fields of the configuration which fit its weights."""
        require_reading(folder, "text")
        return cls(load_model(folder, **changes), Tokenizer.load(folder))

    def save(self, folder: str | Path) -> None:
        """Write the model and its tokenizer into `folder`.

        Raises:
            ValueError: if the weights were rounded.
        """
        end = self.tokenizer.end if self.tokenizer.has_end else None  # which also stands before a text
        save_model(self.model, folder, bos_token_id=end, eos_token_id=end)
        longest = {} if self.context is None else {"model_max_length": self.context}
        save_tokenizer(self.tokenizer, Path(folder), padding_side="left", **longest)  # texts go on at their ends

    @property
    def context(self) -> int | None:
        """Positions which the model knows; None where there is no limit."""
        return getattr(self.model.config, "context", None)

    def generate(self, prompts: Sequence[str], **options: Any) -> list[str]:
        """What the model writes after each prompt, in their order; options as for `stream`."""
        texts = [""] * len(prompts)
        for part in self.stream(prompts, **options):
            texts[part.prompt] += part.text
        return texts

    def stream(
        self,
        prompts: Sequence[str],
        *,
        tokens: int = 100,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        beams: int = 1,
        length_penalty: float = 0.0,
        stop: Sequence[str] = (),
        seed: int | Sequence[int] = 0,
        window: bool = False,
        at_once: int = 32,
    ) -> Iterator[Part]:
        """What the model writes after each prompt, as soon as it is certain.

        An empty prompt begins a text, after the token which ends the one before.

        Args:
            prompts: any number; prompts of different length are computed together, and none is padded.
            tokens: new ones at most.
            temperature, top_k, top_p, repetition_penalty: as of `Sampling`; a temperature of 0 is greedy.
            beams: hypotheses of a beam search, which draws nothing; 1 is no search.
            length_penalty: of the beam search, alpha of Wu et al. 2016, equation 14.
            stop: texts which end what is written; they are not part of it.
            seed: of each prompt; one number gives prompt n the seed `seed + n`.
            window: when a text has filled the model's context, go on from its second half; without, what could
                overfill the context is an error.
            at_once: prompts which are computed together.

        Raises:
            ValueError: if an option is out of its range, or a prompt and its tokens do not fit into the context.
        """
        require_list(prompts, "prompts")
        prompts = list(prompts)
        if isinstance(stop, str) or any(not text for text in stop):
            raise ValueError(f"stop must be a list of texts, none of them empty, got {stop!r}")
        if tokens < 1 or at_once < 1 or beams < 1:
            raise ValueError(f"tokens, at_once and beams must be 1 or more, got {tokens}, {at_once} and {beams}")
        sampling = Sampling(repetition_penalty, temperature, top_k, top_p)
        seeds = [seed + n for n in range(len(prompts))] if isinstance(seed, int) else list(seed)
        if len(seeds) != len(prompts):
            raise ValueError(f"there are {len(prompts)} prompts, but {len(seeds)} seeds")
        if wrong := [own for own in seeds if not 0 <= own < SEEDS]:
            raise ValueError(f"seeds must lie in 0 to {SEEDS - 1}, got {wrong[0]}")
        if beams > 1:
            if sampling != Sampling():
                raise ValueError("a beam search draws nothing: leave temperature, top_k, top_p and penalty as they are")
            write = lambda own: self._search(own, beams, length_penalty)
        elif length_penalty:
            raise ValueError(f"length_penalty is of a beam search: set beams above 1, got {length_penalty}")
        else:
            write = lambda own: self._draw(own, sampling)
        lines = [
            Line(n, self.ids_of(n, text, tokens, window), self.tokenizer, tuple(stop), tokens, seeds[n])
            for n, text in enumerate(prompts)
        ]
        lines.sort(key=lambda line: len(line.ids))
        with without_dropout(self.model):
            for first in range(0, len(lines), at_once):
                for steps in write(lines[first : first + at_once]):
                    yield from steps

    def ids_of(self, number: int, prompt: str, tokens: int, window: bool) -> list[int]:
        """The ids of a prompt."""
        ids = self.tokenizer.encode(prompt)
        if not ids:
            if not self.tokenizer.has_end:
                raise ValueError(f"prompt {number + 1} is empty, and the tokenizer has no token to begin a text with")
            ids = [self.tokenizer.end]
        # the last new token is not read
        if self.context is not None and not window and len(ids) + tokens - 1 > self.context:
            raise ValueError(
                f"prompt {number + 1} has {len(ids):,} tokens, and with {tokens:,} new ones does not fit into the "
                f"context of {self.context:,}; ask for fewer, shorten it, or let a window slide (window=True, --window)"
            )
        return ids

    @torch.inference_mode()
    def started(self, lines: "list[Line]") -> tuple[Tensor, Any]:
        """Scores [R, V] after what lines hold, and the state; of overfull ones the second half is read."""
        for line in lines:
            line.read = len(line.ids)
            if self.context is not None and line.read > self.context:
                line.read = self.context // 2
        texts = Packed.of(line.ids[-line.read :] for line in lines)
        return self.model.step(None, self.model.start(texts.to(self.device)))

    def _draw(self, lines: "list[Line]", sampling: Sampling) -> "Iterator[list[Part]]":
        """Token by token; what is new of each line after each step."""
        scores, state = self.started(lines)
        while True:
            is_there = appeared(lines, scores) if sampling.repetition_penalty != 1.0 else None
            chances = torch.cat([torch.rand(1, generator=line.chance) for line in lines])
            with torch.inference_mode():
                chosen = sampling.choose(scores, chances, is_there).tolist()
            yield [part for line, token in zip(lines, chosen, strict=True) if (part := line.add(token)) is not None]
            going = [n for n, line in enumerate(lines) if not line.ended]
            if not going:
                return
            scores, lines, state = self.stepped(lines, going, state)

    @torch.inference_mode()
    def stepped(self, lines: "list[Line]", going: list[int], state: Any) -> "tuple[Tensor, list[Line], Any]":
        """Scores after the lines which go on, these lines, and the state; full ones are read anew."""
        full = [n for n in going if lines[n].read == self.context]
        rest = [n for n in going if n not in full]
        parts = []
        if rest:
            if len(rest) < len(lines):
                rows = torch.tensor(rest, device=self.device)
                state = state.select(rows, Hypotheses.one_each(len(rest), self.device), rows)
            tokens = torch.tensor([lines[n].ids[-1] for n in rest], device=self.device)
            for n in rest:
                lines[n].read += 1
            parts.append(self.model.step(tokens, state))
        if full:
            parts.append(self.started([lines[n] for n in full]))
        scores, state = parts[0]
        if len(parts) > 1:
            scores, state = torch.cat([scores, parts[1][0]]), state.join(parts[1][1])
        return scores, [lines[n] for n in rest + full], state

    def _search(self, lines: "list[Line]", beams: int, length_penalty: float) -> "Iterator[list[Part]]":
        """The best hypothesis of each line, whole."""
        if not self.tokenizer.has_end:
            raise ValueError("a beam search compares texts which end, and the tokenizer has no end token")
        with torch.inference_mode():
            for line in lines:
                if self.context is not None and len(line.ids) + line.left - 1 > self.context:
                    raise ValueError(
                        f"prompt {line.number + 1} has {len(line.ids):,} tokens, and with {line.left:,} new ones does "
                        f"not fit into the context of {self.context:,}; a beam search slides no window: ask for fewer, "
                        "shorten it, or take one beam"
                    )
            state = self.model.start(Packed.of(line.ids for line in lines).to(self.device))
            longest = torch.tensor([line.left for line in lines])
            ranking = Ranking(length_penalty)
            entering = [Entering(state, longest)]
            found = beam_search(self.model.step, entering, end=self.tokenizer.end, beams=beams, ranking=ranking)
        for line, (best, *_) in zip(lines, found, strict=True):
            tokens = [*best.tokens, self.tokenizer.end] if best.finished else best.tokens
            parts = (line.add(token) for token in tokens if not line.ended)  # by a stop, which comes before the end
            yield [part for part in parts if part is not None]

    def score(self, texts: Sequence[str], *, batch: int = 4096) -> list[float]:
        """The log-probability of each text in nats, its end included, where the tokenizer has an end.

        A text is read after the end of another, so that its first token is predicted; without an end token, that one
        is given.

        Args:
            batch: tokens computed together at most; a text which has more is computed alone.

        Raises:
            ValueError: if a text does not fit into the context, or has nothing to predict.
        """
        require_list(texts, "texts")
        end = [self.tokenizer.end] if self.tokenizer.has_end else []
        ids = [[*end, *own, *end] for own in self.tokenizer.encode_batch(list(texts))]
        for number, own in enumerate(ids, 1):
            if len(own) < 2:
                raise ValueError(f"text {number} has {len(own)} tokens, and none to predict")
            if self.context is not None and len(own) - 1 > self.context:
                raise ValueError(
                    f"text {number} has {len(own) - 1:,} tokens, more than the context of {self.context:,}; "
                    "`regard score` reads long texts in windows"
                )
        scores = [0.0] * len(ids)
        with without_dropout(self.model), torch.no_grad():
            for chosen in _batches([len(own) - 1 for own in ids], batch):
                read = Packed.of(ids[n][:-1] for n in chosen).to(self.device)
                targets = torch.tensor([token for n in chosen for token in ids[n][1:]], device=self.device)
                logs = self.model(read)
                logs = logs.to(torch.promote_types(logs.dtype, torch.float32)).log_softmax(-1)
                found = logs.gather(1, targets[:, None])[:, 0].double()
                for n, own in zip(chosen, read.unpack(found), strict=True):
                    scores[n] = float(own.sum())
        return scores


def _batches(lengths: list[int], most: int) -> Iterator[list[int]]:
    """Texts, the longest first, in batches of so many tokens at most; one which has more is alone."""
    chosen: list[int] = []
    total = 0
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if chosen and total + lengths[n] > most:
            yield chosen
            chosen, total = [], 0
        chosen.append(n)
        total += lengths[n]
    if chosen:
        yield chosen


@dataclass
class Line:
    """A prompt and what has been written after it."""

    number: int
    ids: list[int]
    tokenizer: Tokenizer
    stop: tuple[str, ...]
    left: int  # tokens which may still come
    seed: int
    ended: str = ""
    read: int = 0  # tokens which the model has read, since it was last begun anew
    chance: torch.Generator = field(init=False)

    def __post_init__(self):
        self.chance = torch.Generator().manual_seed(self.seed)
        self._unfolding = self.tokenizer.unfolding(self.ids, keeps_unknown=True)
        self._text, self._told = "", 0

    def add(self, token: int) -> Part | None:
        """Take a token in; what can be told of the text since the last time."""
        self.left -= 1
        if self.tokenizer.has_end and token == self.tokenizer.end:
            self.ended = "end"
        else:
            self.ids.append(token)
            self._extend(self._unfolding.add(token))
            if not self.ended and not self.left:
                self.ended = "length"
        if self.ended in ("end", "length"):
            self._extend(self._unfolding.rest())
        certain = len(self._text) if self.ended else len(self._text) - self._begun_stop()
        text, self._told = self._text[self._told : certain], max(self._told, certain)
        return Part(self.number, text, self.ended) if text or self.ended else None

    def _extend(self, text: str) -> None:
        """More text; a stop in it ends the line before the stop."""
        longest = max(map(len, self.stop), default=0)
        since = max(0, len(self._text) - longest + 1)
        self._text += text
        found = [place for stop in self.stop if (place := self._text.find(stop, since)) >= 0]
        if found:
            self._text, self.ended = self._text[: min(found)], "stop"

    def _begun_stop(self) -> int:
        """How many characters at the end of the text may be the beginning of a stop."""
        longest = max(map(len, self.stop), default=0)
        for count in range(min(longest - 1, len(self._text)), 0, -1):
            if any(stop.startswith(self._text[-count:]) for stop in self.stop):
                return count
        return 0


def appeared(lines: list[Line], scores: Tensor) -> Tensor:
    """Which tokens each line holds, [R, V]."""
    is_there = torch.zeros_like(scores, dtype=torch.bool)
    for row, line in zip(is_there, lines, strict=True):
        row[torch.tensor(line.ids, device=scores.device)] = True
    return is_there

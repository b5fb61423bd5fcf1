"""The endpoints which find: answers in a context, words behind masks, and vectors, by which texts find each other."""

from typing import Annotated, Any

from pydantic import Field

from regard.data.squad_windows import LONGEST_QUESTION, STRIDE
from regard.decoding.spans import Ranked, decide
from regard.reading.answering import answer
from regard.reading.embedding import embed
from regard.reading.filling import Filled, fill, masked_ids
from regard.serving.limits import Refused
from regard.serving.reading import ReadingUse
from regard.serving.uses import Answer, Asked, Body, Pair, Texts, Truncate, refuse_long


class Questions(Body):
    """Questions, each with the context in which its answer is to be found."""

    questions: Annotated[
        list[Pair],
        Field(
            min_length=1,
            description=f"Pairs: a question, of which the first {LONGEST_QUESTION} tokens are read, and a context of "
            "any length within the limits.",
        ),
    ]
    best: Annotated[int, Field(ge=1, le=20, description="Answers to list for each question.")] = 5
    threshold: Annotated[
        float | None, Field(description="The odds of no answer above which there is none; null always answers.")
    ] = None


class FoundSpan(Answer):
    """An answer, its score and probability, and from which character of the context to which it stands."""

    text: str
    start: int
    end: int
    score: float
    probability: float


class FoundAnswer(Answer):
    """The answer to a question, empty where there is none, the best ones, and the odds of there being none."""

    answer: str
    spans: list[FoundSpan]
    null_odds: float | None


class Answers(Answer):
    """The answer to each question, in their order."""

    answers: list[FoundAnswer]


class Answering(ReadingUse[Questions]):
    """Answers out of a context."""

    name, body, answer = "answer", Questions, Answers
    about = "The answers which a context has to a question; a long context is read in windows."

    def example(self) -> dict[str, Any]:
        """A body."""
        return {"questions": [["Where does Ada live?", "Ada lives in Zurich, and works in Basel."]]}

    def ask(self, body: Questions) -> Asked:
        """A question is an item, whose size is that of all of its windows."""
        self.require_count("questions", body.questions)
        ids = iter(self.model.tokenizer.encode_batch([text for pair in body.questions for text in pair]))
        sizes = []
        for n, pair in enumerate(body.questions):
            if not all(text.strip() for text in pair):
                raise Refused(422, f"questions[{n}] must be a question and a context which are not blank")
            sizes.append(self._size(len(next(ids)), len(next(ids))))
        return Asked([tuple(pair) for pair in body.questions], sizes)

    def _size(self, question: int, context: int) -> int:
        """Tokens of all windows of a question, about."""
        asked = min(question, LONGEST_QUESTION) + self.model.framing.added(2)
        room = self.model.longest - asked
        if room < 1:
            refuse_long("a question", asked + 1, self.model.longest)
        windows = 1 + max(0, -(-(context - room) // min(STRIDE, room)))
        return min(windows * self.model.longest, windows * asked + context * windows)

    def compute(self, items: list[Any], options: Any) -> list[Ranked]:
        """As `Reader.answer`."""
        return answer(self.model, items, stride=STRIDE)

    def give(self, body: Questions, asked: Asked, results: list[Ranked]) -> dict[str, Any]:
        """The best of each."""
        return {"answers": [_shown(one, body.best, body.threshold) for one in results]}


def _shown(ranked: Ranked, best: int, threshold: float | None) -> dict[str, Any]:
    """The answers to one question."""
    spans = [
        {"text": one.text, "start": one.start, "end": one.end, "score": one.score, "probability": one.probability}
        for one in ranked.spans[:best]
    ]
    found = ranked.best if threshold is None else decide(ranked, threshold)
    return {"answer": found, "spans": spans, "null_odds": ranked.null_odds}


class PlainTexts(Body):
    """Texts."""

    texts: Texts
    truncate: Truncate = False


class Embeddings(Answer):
    """A vector of each text, and how many were read without their ends."""

    embeddings: list[list[float]]
    truncated: int


class Embedding(ReadingUse[PlainTexts]):
    """Vectors of texts."""

    name, body, answer = "embed", PlainTexts, Embeddings
    about = "A vector of each text, so that texts which mean the same lie near each other."

    def example(self) -> dict[str, Any]:
        """A body."""
        return {"texts": ["A man is asleep.", "Somebody sleeps."]}

    def ask(self, body: PlainTexts) -> Asked:
        """A text is an item."""
        self.require_count("texts", body.texts)
        sizes = [len(ids) + self.model.framing.added(1) for ids in self.model.tokenizer.encode_batch(body.texts)]
        longest = min(self.model.longest, self.model.pooling.longest or self.model.longest)
        sizes, cut = self.fitting("texts", sizes, longest, truncate=body.truncate)
        return Asked(body.texts, sizes, truncated=cut)

    def compute(self, items: list[Any], options: Any) -> list[list[float]]:
        """As `Reader.embed`."""
        return embed(self.model, items, self.model.pooling).tolist()

    def give(self, body: PlainTexts, asked: Asked, results: list[list[float]]) -> dict[str, Any]:
        """In their order."""
        return {"embeddings": results, "truncated": asked.truncated}


class MaskedTexts(Body):
    """Texts with masks."""

    texts: Annotated[Texts, Field(description="Each with the tokenizer's mask token where a word is missing.")]
    best: Annotated[int, Field(ge=1, le=100, description="Pieces to list for each mask.")] = 5


class FilledTexts(Answer):
    """Of each text, and of each mask in it, the likeliest pieces, the best first."""

    texts: list[list[list[Filled]]]


class Filling(ReadingUse[MaskedTexts]):
    """Words behind masks."""

    name, body, answer = "fill", MaskedTexts, FilledTexts
    about = "The likeliest word pieces behind each mask of a text."

    def example(self) -> dict[str, Any]:
        """A body, with the mask of this model."""
        mask = self.model.tokenizer.special_tokens["mask_token"]
        return {"texts": [f"Paris is the {mask} of France."], "best": 3}

    def ask(self, body: MaskedTexts) -> Asked:
        """A text is an item."""
        self.require_count("texts", body.texts)
        if body.best > self.model.tokenizer.size:
            raise Refused(422, f"best is {body.best}, and the vocabulary has {self.model.tokenizer.size} pieces")
        ids = [self._ids(n, text) for n, text in enumerate(body.texts)]
        sizes = [len(own) + self.model.framing.added(1) for own in ids]
        self.fitting("texts", sizes, self.model.longest, truncate=False)
        masks = sum(own.count(self.model.tokenizer.mask) for own in ids)
        if masks * body.best > self.limits.pieces:
            raise Refused(
                422,
                f"{masks:,} masks and the best {body.best} pieces of each are {masks * body.best:,} pieces, and the "
                f"limit is {self.limits.pieces:,}; ask for fewer, or in parts",
            )
        return Asked(body.texts, sizes, body.best)

    def _ids(self, place: int, text: str) -> list[int]:
        """Ids of the text in this place."""
        try:
            return masked_ids(self.model, text)
        except ValueError as error:
            raise Refused(422, f"texts[{place}]: {error}") from error

    def compute(self, items: list[Any], options: Any) -> list[list[list[Filled]]]:
        """As `Reader.fill`."""
        return fill(self.model, items, best=options)

    def give(self, body: MaskedTexts, asked: Asked, results: list[list[list[Filled]]]) -> dict[str, Any]:
        """In their order."""
        return {"texts": results}

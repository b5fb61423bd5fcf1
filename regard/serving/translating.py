"""The endpoint of encoder-decoders."""

from typing import Annotated, Any

from pydantic import Field

from regard.decoding.translator import LONGER, Translation, Translator
from regard.serving.limits import Refused
from regard.serving.uses import Answer, Asked, Body, Texts, Use, refuse_long

LONGEST = 512  # tokens of a sentence, where no other limit is set


class ToTranslate(Body):
    """Sentences, and how to search for their translations."""

    sentences: Texts
    beams: Annotated[int, Field(ge=1, description="Open hypotheses; 1 is greedy.")] = 5
    length_penalty: Annotated[float | None, Field(ge=0, le=10, description="null is the model's own.")] = None
    longest: Annotated[int | None, Field(ge=1, description="Tokens; null allows the source's length and 50.")] = None


class Translated(Answer):
    """A translation: its text, what it was ranked by, and whether it ended by itself."""

    text: str
    score: float
    log_probability: float
    finished: bool


class Translations(Answer):
    """The best translation of each sentence, in their order."""

    translations: list[Translated]


class Translating(Use[ToTranslate]):
    """Translations of sentences."""

    name, body, answer = "translate", ToTranslate, Translations
    about = "The best translation of each sentence."
    model: Translator

    def example(self) -> dict[str, Any]:
        """A body."""
        return {"sentences": ["3. März 1998"], "beams": 4}

    def ask(self, body: ToTranslate) -> Asked:
        """A sentence is an item."""
        self.require_count("sentences", body.sentences)
        for name, value, limit in (
            ("beams", body.beams, self.limits.beams),
            ("longest", body.longest or 1, self.limits.new_tokens),
        ):
            if value > limit:
                raise Refused(422, f"{name} is {value}, and the limit is {limit}")
        sizes = [len(ids) + 1 for ids in self.model.source.encode_batch(body.sentences)]
        longest = self.limits.longest or LONGEST
        for place, size in enumerate(sizes):
            if size > longest:
                refuse_long(f"sentences[{place}]", size, longest)
            if body.longest is None and size + LONGER > self.limits.new_tokens:
                raise Refused(
                    422,
                    f"sentences[{place}] has {size} tokens, its translation may have {size + LONGER}, and the limit is "
                    f"{self.limits.new_tokens}; name a lower `longest`",
                )
        return Asked(body.sentences, sizes, (body.beams, body.length_penalty, body.longest))

    def compute(self, items: list[Any], options: Any) -> list[Translation]:
        """As `Translator.search`."""
        beams, penalty, longest = options
        return [best for best, *_ in self.model.search(items, beams=beams, length_penalty=penalty, longest=longest)]

    def give(self, body: ToTranslate, asked: Asked, results: list[Translation]) -> dict[str, Any]:
        """In their order."""
        return {
            "translations": [
                {
                    "text": one.text,
                    "score": one.score,
                    "log_probability": one.log_probability,
                    "finished": one.finished,
                }
                for one in results
            ]
        }

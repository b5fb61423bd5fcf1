"""The endpoints of heads which decide: classes and numbers of texts, tags of words, one of several options."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from regard.data.inputs import require_two
from regard.reading.predicting import Prediction, Tagged, predict, tag, words_of
from regard.serving.reading import ReadingUse
from regard.serving.uses import Answer, Asked, Body, SentenceOrWords, TextOrPair, Truncate


class TextsAndPairs(Body):
    """Texts, and pairs of texts."""

    texts: Annotated[list[TextOrPair], Field(min_length=1)]
    truncate: Truncate = False


class Predictions(Answer):
    """What is said of each text, and how many were read without their ends."""

    predictions: list[Prediction]
    truncated: int


class Predicting(ReadingUse[TextsAndPairs]):
    """Classes and numbers."""

    name, body, answer = "predict", TextsAndPairs, Predictions
    about = "The class of each text, or of each pair of texts, with probabilities; or its number."

    def example(self) -> dict[str, Any]:
        """A body."""
        pair = ["A man is asleep.", "Somebody sleeps."]
        return {"texts": ["A fine film.", pair] if self.model.pairs == "joined" else [pair]}

    def ask(self, body: TextsAndPairs) -> Asked:
        """A text or a pair is an item."""
        self.require_count("texts", body.texts)
        items = [(one,) if isinstance(one, str) else tuple(one) for one in body.texts]
        require_two(items, self.model.pairs, [f"texts[{number}]" for number in range(len(items))])
        sizes, cut = self.framed("texts", items, truncate=body.truncate)
        return Asked(items, sizes, truncated=cut)

    def compute(self, items: list[Any], options: Any) -> list[Prediction]:
        """As `Reader.predict`."""
        return predict(self.model, [item if len(item) == 2 else item[0] for item in items])

    def give(self, body: TextsAndPairs, asked: Asked, results: list[Prediction]) -> dict[str, Any]:
        """In their order."""
        return {"predictions": [one.as_dict() for one in results], "truncated": asked.truncated}


class Sentences(Body):
    """Sentences, as texts or as words."""

    sentences: Annotated[list[SentenceOrWords], Field(min_length=1)]
    truncate: Truncate = False


class TaggedSentences(Answer):
    """The words of each sentence and their tags, and how many sentences were read without their ends."""

    sentences: list[Tagged]
    truncated: int


class Tagging(ReadingUse[Sentences]):
    """Tags of words."""

    name, body, answer = "tag", Sentences, TaggedSentences
    about = "The tag of each word; a sentence which is one text is cut at spaces and around punctuation."

    def example(self) -> dict[str, Any]:
        """A body."""
        return {"sentences": ["Ada lives in Zurich.", ["Ada", "lives", "here"]]}

    def ask(self, body: Sentences) -> Asked:
        """A sentence is an item."""
        self.require_count("sentences", body.sentences)
        items = [words_of(one) if isinstance(one, str) else one for one in body.sentences]
        sizes = [len(self.model.tokenizer.encode_words(words)[0]) + self.model.framing.added(1) for words in items]
        sizes, cut = self.fitting("sentences", sizes, self.model.longest, truncate=body.truncate)
        return Asked(items, sizes, truncated=cut)

    def compute(self, items: list[Any], options: Any) -> list[Tagged]:
        """As `Reader.tag`."""
        return tag(self.model, items)

    def give(self, body: Sentences, asked: Asked, results: list[Tagged]) -> dict[str, Any]:
        """In their order."""
        return {"sentences": results, "truncated": asked.truncated}


class TextAndOptions(Body):
    """A text, and what may go with it."""

    text: str
    options: Annotated[list[str], Field(min_length=2)]
    truncate: Truncate = False


class Chosen(Answer):
    """The option, counted from 0, the probability of each, and how many inputs were read without their ends."""

    option: int
    probabilities: list[float]
    truncated: int


class Choosing(ReadingUse[TextAndOptions]):
    """One of several options."""

    name, body, answer = "choose", TextAndOptions, Chosen
    about = "Which of several options goes with a text."

    def example(self) -> dict[str, Any]:
        """A body."""
        return {"text": "She opened the door and", "options": ["went in.", "the sky is blue."]}

    def ask(self, body: TextAndOptions) -> Asked:
        """An option beside its text is an item."""
        self.require_count("options", body.options)
        items = [(body.text, option) for option in body.options]
        sizes, cut = self.framed("options", items, truncate=body.truncate)
        return Asked(items, sizes, truncated=cut)

    def compute(self, items: list[Any], options: Any) -> list[Tensor]:
        """Scores."""
        return list(self.model.scores(self.model.frame(items)[0]))

    def give(self, body: TextAndOptions, asked: Asked, results: list[Tensor]) -> dict[str, Any]:
        """The likeliest."""
        probabilities = torch.stack(results).softmax(0)
        option = int(probabilities.argmax())
        return {"option": option, "probabilities": probabilities.tolist(), "truncated": asked.truncated}

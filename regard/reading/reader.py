"""What `regard.load` gives for BERT, ALBERT and XLNet: an encoder with its tokenizer, and all uses of its head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from regard.decoding.loaded import require_list
from regard.decoding.spans import Ranked
from regard.reading import answering, embedding, filling, predicting
from regard.reading.embedding import Pooling, read_pooling, write_pooling
from regard.reading.filling import Filled
from regard.reading.packed import PackedReader, Texts
from regard.reading.predicting import Choice, Prediction, Tagged


class Reader(PackedReader):
    """Texts in, and what a model says of them out. A use for which the model has no head is refused."""

    pooling = Pooling()  # of `embed`

    @classmethod
    def load(cls, folder: str | Path, **changes: Any) -> Self:
        """The model and tokenizer in `folder`; `changes` are fields of the configuration which fit the weights."""
        reader = super().load(folder, **changes)
        reader.pooling = read_pooling(folder)
        return reader

    def save(self, folder: str | Path) -> None:
        """Write the model and its tokenizer into `folder`; where its vectors are used, as Sentence Transformers does.

        Raises:
            ValueError: if the weights were rounded.
        """
        super().save(folder)
        if self.head == "similarity" or self.pooling != Pooling():
            write_pooling(folder, self.pooling, self.model.config.width, self.longest)

    def predict(self, texts: Texts) -> list[Prediction]:
        """The class of each text or pair, with probabilities, or its number."""
        return predicting.predict(self, texts)

    def choose(self, text: str, options: Sequence[str]) -> Choice:
        """Which of the options goes with the text."""
        require_list(options, "options")
        return predicting.choose(self, text, options)

    def tag(self, sentences: Sequence[str | Sequence[str]]) -> list[Tagged]:
        """The tag of each word of sentences; those which are not cut into words are cut as BERT cuts them."""
        require_list(sentences, "sentences")
        return predicting.tag(self, [predicting.words_of(one) if isinstance(one, str) else one for one in sentences])

    def answer(self, question: str, context: str, *, stride: int = 128) -> Ranked:
        """The answers which the context has to a question, best first, and how far there seems to be none."""
        return answering.answer(self, [(question, context)], stride=stride)[0]

    def fill(self, text: str, *, best: int = 5) -> list[list[Filled]]:
        """For each mask in a text the likeliest word pieces, best first."""
        return filling.fill(self, [text], best=best)[0]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """One vector a text, [B, D]."""
        return embedding.embed(self, texts, self.pooling)

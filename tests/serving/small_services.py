"""Services of small models with random weights, and a client which speaks to them without a network."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import torch
from tiny import tiny
from tokenizers import Tokenizer as Library
from tokenizers import models

from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.models.heads import HEADS
from regard.reading.reader import Reader
from regard.serving.app import application
from regard.serving.limits import Limits
from regard.serving.service import Service
from regard.text.encoders import BERT, bert_cleaning, cut_into_words
from regard.text.tokenizer import Tokenizer

WORDS = [
    "the",
    "a",
    "red",
    "blue",
    "small",
    "old",
    "dog",
    "cat",
    "man",
    "boy",
    "sees",
    "likes",
    "hears",
    "house",
    "in",
    "is",
    "of",
]
LABELS = ("one", "two", "three")
LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows


def encoder_tokenizer() -> Tokenizer:
    """BERT's kind, of a few words, letters and punctuation marks."""
    letters = [chr(97 + n) for n in range(26)]
    pieces = [*BERT.values(), *WORDS, *letters, *(f"##{letter}" for letter in letters), *".,!?"]
    pieces = list(dict.fromkeys(pieces))
    library = Library(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token=BERT["unknown"]))
    library.normalizer = bert_cleaning(True)
    cut_into_words(library)
    return Tokenizer(library)


def reader(head: str = "classification", *, name: str = "bert", longest: int | None = None) -> Reader:
    """An encoder with a head."""
    tokenizer = encoder_tokenizer()
    pools = HEADS[head].pools if head else False
    limit = {} if name == "xlnet" else {"context": 128}
    encoder = tiny(name, dtype=torch.float32, words=tokenizer.size, pools=pools, **limit)
    torch.manual_seed(1)
    kind = HEADS.get(head)
    model = encoder if kind is None else kind(encoder, () if kind.size else LABELS).eval()
    return Reader(model, tokenizer, longest=longest)


def translator() -> Translator:
    """A Transformer."""
    tokenizer = Tokenizer.train(["a b c d e", "v w x y z"], kind="words")
    return Translator(tiny("transformer", words=tokenizer.size), tokenizer, tokenizer)


def writer(name: str = "gpt2", **changes: Any) -> Writer:
    """A language model."""
    return Writer(tiny(name, **changes), LETTERS)


def endless_writer() -> Writer:
    """A language model whose texts never end by themselves, for its tokenizer has no end."""
    tokenizer = encoder_tokenizer()
    return Writer(tiny("gpt2", words=tokenizer.size, context=8192), tokenizer)


def sentence(seed: int, longest: int = 12) -> str:
    """Words drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, longest, (), generator=generator))
    return " ".join(WORDS[n] for n in torch.randint(len(WORDS), (count,), generator=generator).tolist())


Client = httpx.AsyncClient


def with_service(model: Any, talk: Callable[[Client, Service], Awaitable[Any]], threads: int = 2, **limits: Any) -> Any:
    """What comes of talking to a service of a model."""
    service = Service(model, Limits(**{"seconds": 300.0, **limits}), threads)
    app = application(service)

    async def main() -> Any:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
                return await talk(client, service)

    return anyio.run(main)


def ask(model: Any, path: str, content: Any, /, **limits: Any) -> httpx.Response:
    """The answer to one request."""
    return with_service(model, lambda client, _: client.post(path, json=content), **limits)

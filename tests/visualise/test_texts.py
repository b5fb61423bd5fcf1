"""What a language model attends to, and how surprising each token was, as the pictures have it."""

import math

import numpy as np
import pytest
import torch
from looking_back import LETTERS, looking_back
from tiny import WRITING, tiny

import regard
from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.visualise.texts import examples


@pytest.fixture(params=WRITING)
def writer(request) -> Writer:
    """A model of random weights in float64, which says all sorts of things."""
    return Writer(tiny(request.param), LETTERS)


def test_a_head_which_looks_three_back_is_drawn_three_back():
    (found,) = examples(Writer(looking_back(0, 3), LETTERS), ["abcdefgh"])
    (drawn,) = found.maps
    assert drawn.queries == drawn.keys == tuple("abcdefgh")
    for head, back in enumerate((0, 3)):
        for query in range(back, 8):
            assert drawn.weights[head, query].argmax() == query - back
            assert drawn.weights[head, query, query - back] == pytest.approx(1, abs=1e-6)
        for query in range(back):
            assert drawn.weights[head, query, : query + 1] == pytest.approx(1 / (query + 1), abs=1e-6)


def test_surprise_is_the_logarithm_of_each_probability(writer):
    (found,) = examples(writer, ["hgfedcba"])
    (passage,) = found.passages
    ids = LETTERS.encode("hgfedcba")
    assert (passage.name, passage.tokens, passage.bits[0]) == ("text", tuple("hgfedcba"), None)
    for place in range(1, 8):
        with torch.no_grad():
            probability = float(writer.model(Packed.of([ids[:place]]))[-1].softmax(-1)[ids[place]])
        assert passage.bits[place] == pytest.approx(-math.log2(probability), abs=1e-9)
    assert dict(found.text)["surprise"].startswith(f"{sum(passage.bits[1:]):.1f} bits in 7 tokens")


@pytest.mark.parametrize("seed", [None, 4])
def test_what_is_written_is_what_the_writer_writes(writer, seed):
    prompts = ["abc", "hg", ""]
    options = {"temperature": 0} if seed is None else {"seed": seed}
    texts = writer.generate(prompts, tokens=9, **options)
    for prompt, text, found in zip(prompts, texts, examples(writer, prompts, tokens=9, seed=seed), strict=True):
        before, written = found.passages
        assert before.tokens == tuple(prompt or ["</s>"])
        assert "".join(token for token in written.tokens if token not in ("</s>", "<pad>")) == text
        assert len(written.tokens) == 9 or written.tokens[-1] == "</s>"
        for drawn in found.maps:
            assert drawn.keys == before.tokens + written.tokens


def test_every_map_says_where_its_layer_may_look(writer):
    (found,) = examples(writer, ["abcdefgh"], tokens=20)
    assert len(found.maps) == writer.model.config.depth
    for drawn in found.maps:
        allowed = np.broadcast_to(drawn.allowed, drawn.weights.shape)
        assert (drawn.weights[~allowed] == 0).all()
        assert (drawn.weights[allowed] > 0).mean() > 0.9  # of a softmax hardly any is rounded to nothing
        assert not np.triu(allowed, 1).any()


def test_looking_leaves_the_model_as_it_was(writer):
    writer.model.train()
    list(examples(writer, ["abc"], tokens=3))
    assert all(module.training for _, module in writer.named_modules())
    assert all(getattr(module, "recorded", None) is None for _, module in writer.named_modules())


def test_a_writer_is_viewed_as_a_translator_is(tmp_path, writer):
    page = regard.view(writer, ["abc", "hgf"], tmp_path / "page.html", tokens=4, title="Two texts")
    text = page.read_text("utf-8")
    assert text.count('class="example"') == 2
    assert "<title>Two texts</title>" in text


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "there is no sentence to look at"),
        (["abc"], {"tokens": -1}, "tokens must not be negative, got -1"),
        (["abc"], {"seed": 1}, "say how many, got seed=1 and tokens=0"),
        (["a", "abcdefgh"], {"tokens": 9}, "text 2 has 8 tokens, which and 9 new ones do not fit .* context of 16"),
        (["abcdefgh" * 3], {}, "text 1 has 24 tokens, which do not fit .* context of 16; shorten it"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(tmp_path, texts, options, message):
    with pytest.raises(ValueError, match=message):
        regard.view(Writer(looking_back(1), LETTERS), texts, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())

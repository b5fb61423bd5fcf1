"""What an encoder reads in pre-training, and whether two texts belong together."""

import json
from pathlib import Path
from random import Random

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import decoders, models, pre_tokenizers

from regard.data.corpus import Corpus
from regard.data.masking import Masking
from regard.data.sentence_pairs import NextSentence, SentenceOrder, Unpaired, truncated
from regard.data.sentence_store import SentenceStore
from regard.text.tokenizer import Tokenizer

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "bert_pretraining_data.json").read_text())


@pytest.fixture(scope="module")
def tokenizer():
    """Of the authors' run."""
    vocabulary = {token: id for id, token in enumerate(ORACLE["vocab"])}
    pieces = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    return Tokenizer(pieces)


@pytest.fixture(scope="module")
def store(tokenizer, tmp_path_factory):
    """The documents of the authors' run, from a file in their format."""
    folder = tmp_path_factory.mktemp("oracle")
    documents = [[" ".join(tokens).replace(" ##", "") for tokens in document] for document in ORACLE["documents"]]
    (folder / "text").write_text("\n\n".join("\n".join(sentences) for sentences in documents))
    corpus = Corpus(str(folder / "text"), documents="paragraphs")
    return SentenceStore.prepare(folder / "store", corpus, tokenizer, sentences="lines")


@pytest.mark.parametrize("run", ORACLE["runs"], ids=["pieces", "whole words"])
def test_examples_and_masks_are_those_of_the_authors_code(store, tokenizer, run):
    masking = Masking(
        tokenizer.mask,
        tokenizer.size,
        tokenizer.begins_word,
        longest=int(run["whole_word_mask"]),
        share=run["masked_lm_prob"],
        most=run["max_predictions_per_seq"],
    )
    framing, random = tokenizer.framing(is_last=False), Random(run["seed"])
    pairs, vocabulary, found = NextSentence(run["short_seq_prob"]), ORACLE["vocab"], []
    for document in range(len(store)):
        for passage in pairs.drawn(store, document, run["max_seq_length"] - framing.added(2), random):
            ids, segments = framing.frame(store.ids(*passage.first), store.ids(*passage.second))
            hidden = masking.hide(ids, {framing.summary, framing.separator}, random)
            found.append(
                {
                    "tokens": [vocabulary[id] for id in hidden.ids],
                    "segment_ids": segments,
                    "masked_lm_positions": hidden.positions,
                    "masked_lm_labels": [vocabulary[id] for id in hidden.words],
                    "is_random_next": bool(passage.label),
                }
            )
    assert found == run["instances"]


class Lengths:
    """Where sentences of these lengths would stand in a store."""

    def __init__(self, documents):
        self.folder = "lengths"
        self.sentences = sum(map(len, documents))
        self.documents, place = [], 0
        for lengths in documents:
            bounds = [place]
            bounds += [place := place + length for length in lengths]
            self.documents.append(bounds)

    def __len__(self):
        return len(self.documents)

    def bounds(self, document):
        return self.documents[document]

    def holding(self, span):
        """The document in which a text stands."""
        [document] = [
            number for number, bounds in enumerate(self.documents) if bounds[0] <= span[0] < span[1] <= bounds[-1]
        ]
        return document


some_documents = some.lists(some.lists(some.integers(1, 30), min_size=1, max_size=12), min_size=1, max_size=6)


def drawn(passages, store, document, room, seed):
    return list(passages.drawn(store, document, room, Random(seed)))


@given(some_documents, some.integers(2, 60), some.floats(0, 1), some.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_two_texts_stand_in_documents_and_have_room(lengths, room, short, seed):
    store = Lengths(lengths + [[5]] * 40)  # so that no ten tries all find the same document
    for passages in (NextSentence(short), SentenceOrder(short)):
        for document in range(len(lengths)):
            for first, second, label in drawn(passages, store, document, room, seed):
                assert first[1] - first[0] + second[1] - second[0] <= room
                places = (store.holding(first), store.holding(second))
                if isinstance(passages, NextSentence):
                    assert places[0] == document
                    assert (places[1] != document) == label
                    assert label or first[1] <= second[0]
                else:
                    assert places == (document, document)
                    assert (second < first) == label


@given(some.integers(1, 60), some.integers(2, 20), some.integers(0, 99))
@settings(deadline=None)
def test_sentences_in_whose_place_others_stand_are_put_back(sentences, room, seed):
    store = Lengths([[1] * sentences] + [[1] * 40] * 40)  # sentences of one token, so that nothing is cut off
    place = 0
    for first, second, label in drawn(NextSentence(), store, 0, room, seed):
        assert first[0] == place
        assert label or second[0] == first[1]
        place = first[1] if label else second[1]
    assert place == sentences


@given(some_documents, some.integers(0, 99))
@settings(deadline=None)
def test_sentence_order_reads_each_token_once(lengths, seed):
    store = Lengths(lengths)
    for document, bounds in enumerate(store.documents):
        place = bounds[0]
        for first, second, _ in drawn(SentenceOrder(), store, document, 500, seed):
            start, middle, end, stop = sorted((*first, *second))
            assert (start, middle) == (place, end)
            place = stop
        assert place >= bounds[-1] - (bounds[-1] - bounds[-2] == 1)  # a last sentence of one token may be left out


def test_a_stretch_of_one_sentence_has_a_random_next_one_and_a_true_order():
    store = Lengths([[9]] * 400)
    examples = [drawn(NextSentence(), store, document, 20, document)[0] for document in range(400)]
    assert all(example.label for example in examples)
    examples = [drawn(SentenceOrder(), store, document, 20, document)[0] for document in range(400)]
    assert sum(example.label for example in examples) == pytest.approx(200, abs=40)  # 4 deviations of a coin
    assert {example.first[1] - example.first[0] for example in examples} == set(range(1, 9))


def test_labels_are_as_often_one_as_the_other():
    store = Lengths([[5] * 2000] * 20)
    for passages in (NextSentence(), SentenceOrder()):
        labels = [example.label for document in range(20) for example in drawn(passages, store, document, 60, document)]
        assert sum(labels) / len(labels) == pytest.approx(0.5, abs=2 / len(labels) ** 0.5)


def test_one_document_in_ten_has_shorter_examples():
    store, longest = Lengths([[1] * 300] * 1000), []
    for document in range(1000):
        examples = drawn(SentenceOrder(), store, document, 60, document)
        longest.append(max(first[1] - first[0] + second[1] - second[0] for first, second, _ in examples))
    shorter = [length for length in longest if length < 60]
    assert len(shorter) == pytest.approx(100, abs=40)
    assert (min(shorter), max(shorter)) == pytest.approx((2, 59), abs=4)


@given(some.integers(1, 40), some.integers(1, 40), some.integers(2, 90), some.integers(0, 99))
def test_texts_are_cut_token_by_token_the_longer_one_at_either_end(first, second, room, seed):
    one, other, random = list(range(first)), list(range(100, 100 + second)), Random(seed)
    while len(one) + len(other) > room:
        longer = one if len(one) > len(other) else other
        longer.pop(0 if random.random() < 0.5 else -1)
    spans = truncated((0, first), (100, 100 + second), room, Random(seed))
    assert [list(range(*span)) for span in spans] == [one, other]


@given(some_documents, some.integers(1, 60))
def test_texts_without_pairs_are_the_documents_cut_in_stretches(lengths, room):
    store = Lengths(lengths)
    for document, bounds in enumerate(store.documents):
        examples = drawn(Unpaired(), store, document, room, 0)
        places = [place for example in examples for place in range(*example.first)]
        assert places == list(range(bounds[0], bounds[-1]))
        assert {example.first[1] - example.first[0] for example in examples[:-1]} <= {room}
        assert all(example.second == (0, 0) for example in examples)


def test_stores_of_which_no_next_sentences_can_be_told_are_refused():
    with pytest.raises(ValueError, match="lengths has one document, and a next sentence is told from those of others"):
        NextSentence().check(Lengths([[3, 4]]))
    with pytest.raises(ValueError, match="every document of lengths is one sentence"):
        NextSentence().check(Lengths([[3], [4]]))
    NextSentence().check(Lengths([[3, 4], [4]]))
    SentenceOrder().check(Lengths([[3]]))


@pytest.mark.parametrize("passages", [NextSentence, SentenceOrder])
def test_shares_which_make_no_sense_are_refused(passages):
    with pytest.raises(ValueError, match=r"short must lie within 0 and 1, got 1\.5"):
        passages(1.5)

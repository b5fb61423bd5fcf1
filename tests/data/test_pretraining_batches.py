"""The batches on which encoders are pre-trained."""

import pickle
from collections import Counter
from itertools import islice, pairwise
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from regard.attention.packing import Packed
from regard.data import masked_sequences
from regard.data.corpus import Piece
from regard.data.loading import Cursor, stream
from regard.data.masked_sequences import MaskedBatch, MaskedSequences
from regard.data.masking import Masking, word_spans
from regard.data.permutation import Permuting, may_attend
from regard.data.permuted_sequences import PermutedBatch, PermutedSequences
from regard.data.sentence_pairs import NextSentence, SentenceOrder, Unpaired
from regard.data.sentence_store import SentenceStore
from regard.text.framing import Framing
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["".join(map(chr, range(97, 123)))], kind="characters")
BEGINS = [id % 3 > 0 for id in range(LETTERS.size)]
FIRST, LAST = Framing(0, 1, False), Framing(0, 1, True)
MASK = 2  # the tokenizer's unknown id, which no letter has


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """60 documents of 1 to 12 sentences of 1 to 20 letters."""
    chance = Random(1)
    documents = [
        ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(1, 20))) for _ in range(sentences)]
        for sentences in (chance.randint(1, 12) for _ in range(60))
    ]
    pieces = [Piece("\n".join(document), "x", 1) for document in documents]
    return SentenceStore.build(tmp_path_factory.mktemp("store") / "store", pieces, LETTERS, sentences="lines")


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    """Several pools an epoch."""
    monkeypatch.setattr(masked_sequences, "POOL", 500)
    monkeypatch.setattr(masked_sequences, "BATCHES", 2)


UNPAIRED = Unpaired()


def masked(store, passages=UNPAIRED, longest=0, **options) -> MaskedSequences:
    """Batches of masked sequences."""
    masking = Masking(MASK, store.vocabulary, BEGINS, longest=longest)
    return MaskedSequences(store, passages, masking, FIRST, **{"length": 32, "tokens": 100, "seed": 3, **options})


def permuted(store, **options) -> PermutedSequences:
    """Batches of permuted sequences."""
    fields = {"length": 31, "reuse": 13, "tokens": 130, "seed": 3}
    return PermutedSequences(store, Permuting(BEGINS, window=8), LAST, **{**fields, **options})


def an_epoch(batches, number=0):
    """The batches of an epoch."""
    for batch, after in stream(batches, Cursor(number)):
        yield batch
        if after.epoch > number:
            return


def restored(batch) -> list[tuple[int, ...]]:
    """The sequences of a masked batch with nothing hidden."""
    tokens = batch.text.tokens.clone()
    tokens[batch.positions] = batch.words
    return [tuple(part.tolist()) for part in batch.text.unpack(tokens)]


ALL = {"next sentence": (NextSentence(), 0), "sentence order": (SentenceOrder(), 3), "unpaired": (Unpaired(), 1)}


@pytest.mark.parametrize(("passages", "longest"), ALL.values(), ids=ALL)
def test_a_masked_batch_is_framed_text_with_its_hidden_words(store, passages, longest):
    batches = masked(store, passages, longest)
    everything = store.ids(0, store.tokens)
    labels = Counter()
    for batch in an_epoch(batches):
        assert len(batch.text.tokens) <= 100
        assert int(batch.text.lengths.max()) <= 32
        assert (batch.targets, batch.goes_on) == (len(batch.words), False)
        assert not {0, 1} & set(batch.words.tolist())
        assert len(batch.parts) == 4 + (batch.pair_labels is not None)
        is_hidden = torch.zeros(len(batch.text.tokens), dtype=torch.bool)
        is_hidden[batch.positions] = True
        for ids, segments, hidden in zip(
            restored(batch), batch.text.unpack(batch.segments), batch.text.unpack(is_hidden), strict=True
        ):
            ends = [place for place, id in enumerate(ids) if id == 1]
            texts = [list(ids[start + 1 : end]) for start, end in pairwise([0, *ends])]
            assert len(texts) == passages.texts
            assert (list(ids), segments.tolist()) == FIRST.frame(*texts)
            for text in texts:
                assert any(everything[place : place + len(text)] == text for place in range(store.tokens))
            assert 1 - bool(longest) <= hidden.sum() <= max(1, round(len(ids) * 0.15))
        if passages.texts == 1:
            assert batch.pair_labels is None
        else:
            assert batch.parts[-1] is batch.pair_labels
            labels.update(batch.pair_labels.tolist())
    assert passages.texts == 1 or min(labels[0], labels[1]) > 0.2 * labels.total()


def test_an_epoch_reads_every_token_once(store):
    for epoch in (0, 5):
        read = Counter()
        for batch in an_epoch(masked(store), epoch):
            read.update(id for ids in restored(batch) for id in ids[1:-1])
        assert read == Counter(store.ids(0, store.tokens))


def told(batches, epoch):
    """Each sequence of an epoch with its mask and label, in order."""
    found = []
    for batch in an_epoch(batches, epoch):
        labels = [None] * len(batch) if batch.pair_labels is None else batch.pair_labels.tolist()
        sequences = (tuple(part.tolist()) for part in batch.text.unpack(batch.text.tokens))
        found += zip(sequences, restored(batch), labels, strict=True)
    return found


@pytest.mark.parametrize(("passages", "longest"), ALL.values(), ids=ALL)
def test_masks_are_new_each_epoch_or_come_again_in_turn(store, passages, longest):
    always_new, in_turn = masked(store, passages, longest), masked(store, passages, longest, masks=2)
    first, second, third, fourth = (told(in_turn, epoch) for epoch in range(4))
    assert Counter(first) == Counter(third) != Counter(second) == Counter(fourth)
    assert first != third  # in another order
    epochs = [Counter(told(always_new, epoch)) for epoch in range(3)]
    assert epochs[0] == Counter(first)
    assert all((epochs[0] & epochs[epoch]).total() < 0.3 * len(first) for epoch in (1, 2))


def test_the_passages_of_a_document_are_apart(store):
    following = total = 0
    for drawn, _ in islice(masked(store, length=8).plan(Cursor()), 100):
        places = list(zip(drawn.documents.tolist(), drawn.numbers.tolist(), strict=True))
        following += sum(other == (one[0], one[1] + 1) for one, other in pairwise(places))
        total += len(places)
    assert following < 0.05 * total


def test_pools_have_other_documents_in_each_epoch(store):
    documents = [
        {int(document) for drawn in masked(store).pooled(epoch, 0) for document in drawn.documents} for epoch in (0, 1)
    ]
    assert len(documents[0] & documents[1]) < 0.6 * len(documents[0])


def test_passages_of_a_document_have_masks_of_their_own(store):
    hidden, batches = {}, masked(store)
    for drawn, after in batches.plan(Cursor()):
        batch = batches.batch(drawn)
        is_hidden = torch.zeros(len(batch.text.tokens), dtype=torch.bool)
        is_hidden[batch.positions] = True
        for document, part in zip(drawn.documents.tolist(), batch.text.unpack(is_hidden), strict=True):
            if len(part) == 32:
                hidden.setdefault(document, []).append(tuple(part.nonzero().flatten().tolist()))
        if after.epoch:
            break
    assert max(map(len, hidden.values())) > 3
    assert all(len(set(masks)) == len(masks) for masks in hidden.values())


CONTRACT = {
    "next sentence": lambda store: masked(store, NextSentence()),
    "sentence order": lambda store: masked(store, SentenceOrder(), 3, masks=2),
    "unpaired": lambda store: masked(store, Unpaired(), 1),
    "permuted": lambda store: permuted(store),
    "both ways": lambda store: permuted(store, both_ways=True),
}


def same(one, other) -> bool:
    """Whether two batches are the same."""
    parts = zip((*one.parts, one.goes_on), (*other.parts, other.goes_on), strict=True)
    pairs = [((a.tokens, b.tokens) if isinstance(a, Packed) else (a, b)) for a, b in parts]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("batches", CONTRACT.values(), ids=CONTRACT)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_from_any_place(store, batches, workers):
    whole = list(islice(stream(batches(store)), 300))
    assert whole[-1][1].epoch >= 2
    for place in (0, 57, 158) if workers else range(0, 240, 7):
        rest = islice(stream(batches(store), whole[place][1], workers=workers), 4)
        for (batch, after), (wanted, cursor) in zip(rest, whole[place + 1 : place + 5], strict=True):
            assert after == cursor
            assert same(batch, wanted)


@pytest.mark.parametrize("batches", list(CONTRACT.values())[:3], ids=list(CONTRACT)[:3])
def test_processes_share_the_stream(store, batches):
    whole = list(islice(stream(batches(store)), 60))
    for rank in range(3):
        own = list(islice(stream(batches(store), rank=rank, processes=3), 20))
        for turn, (batch, after) in enumerate(own):
            assert same(batch, whole[turn * 3 + rank][0])
            assert after == whole[turn * 3 + 2][1]


@pytest.mark.parametrize("batches", CONTRACT.values(), ids=CONTRACT)
def test_seeds_differ_and_a_seed_repeats(store, batches):
    one = [batch for batch, _ in islice(stream(batches(store)), 12)]
    assert all(map(same, one, (batch for batch, _ in islice(stream(batches(store)), 12))))
    other = type(batches(store))(**{**vars(batches(store)), "seed": 4})
    assert not any(map(same, one, (batch for batch, _ in islice(stream(other), 12))))


@pytest.mark.parametrize("batches", CONTRACT.values(), ids=CONTRACT)
def test_batches_can_be_pickled_and_moved(store, batches):
    batches = pickle.loads(pickle.dumps(batches(store)))
    batch, _ = next(iter(stream(batches)))
    assert same(pickle.loads(pickle.dumps(batch)), batch)
    moved = batch.to("meta")
    stays = moved.positions if isinstance(moved, MaskedBatch) else None  # numbers of rows, which no kernel waits for
    assert stays is None or stays.device.type == "cpu"
    others = [part.tokens if isinstance(part, Packed) else part for part in moved.parts[:4] if part is not stays]
    assert len(others) >= 3
    assert all(part.device.type == "meta" for part in others)
    assert (len(moved), moved.targets, moved.goes_on) == (len(batch), batch.targets, batch.goes_on)


def test_permuted_sequences_follow_one_another_in_every_lane(store):
    batches = permuted(store, both_ways=True)
    assert (batches.shares, batches.reach) == (2, store.tokens // 2)
    everything = store.ids(0, store.tokens)
    shares = [everything[: batches.reach], everything[batches.reach : 2 * batches.reach]]
    lanes = [*shares, *(share[::-1] for share in shares)]
    steps = 0
    for number, batch in enumerate(an_epoch(batches)):
        assert (batch.goes_on, batch.reuse, batch.backward, len(batch)) == (number > 0, 13, 2, 4)
        assert (batch.tokens.shape, batch.positions.shape) == ((4, 31), (4, 5))
        for ids, segments, lane in zip(batch.tokens.tolist(), batch.segments.tolist(), lanes, strict=True):
            text, place = ids[13:-2], number * 13
            middle = text.index(1)
            assert ids[:13] == lane[place : place + 13]
            assert text[:middle] == lane[place + 13 : place + 13 + middle]
            assert ids[-2:] == [1, 0]
            assert 1 <= middle < len(text) - 1
            assert segments == [0] * (14 + middle) + [1] * (16 - middle) + [2]
        steps += 1
    assert batches.reach - 13 < steps * 13 + 15 <= batches.reach  # no other sequence would have had room


def test_as_many_tokens_of_each_sequence_are_predicted_and_none_is_special(store):
    for batch in an_epoch(permuted(store)):
        assert batch.targets == batch.is_target.sum() == 5 * len(batch)
        assert torch.equal(batch.words, batch.tokens[batch.is_target].view(len(batch), 5))
        assert not ((batch.words == 0) | (batch.words == 1)).any()
        assert (batch.is_target[:, :13].sum(1) == 3).all()  # 5 * 13 / 31, rounded up


@given(some.integers(6, 60), some.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_epoch_has_as_many_sequences_as_have_room_in_a_lane(store, length, data):
    batches = permuted(store, length=length, reuse=data.draw(some.integers(1, length - 5)))
    step, text = batches.reuse, batches.length - 3
    assert batches.steps == sum(start + text <= batches.reach for start in range(0, batches.reach, step))


def test_each_epoch_permutes_anew(store):
    first, second = (list(an_epoch(permuted(store), epoch)) for epoch in (0, 1))
    assert torch.equal(first[3].tokens[:, :13], second[3].tokens[:, :13])
    for part in ("tokens", "order", "positions"):
        assert not torch.equal(getattr(first[3], part), getattr(second[3], part))


def test_words_are_predicted_whole_in_whichever_direction_they_are_read(tmp_path):
    pieces = [Piece("\n".join(["azbyxc"] * 200), "x", 1)]  # az byx c
    store = SentenceStore.build(tmp_path / "store", pieces, LETTERS, sentences="lines")
    begins = [False] * 3 + [letter < "m" for letter in map(LETTERS.decode, ([id] for id in range(3, store.vocabulary)))]
    batches = PermutedSequences(store, Permuting(begins, context=1), LAST, 60, 31, 120, both_ways=True)
    broken, total = [0, 0], 0
    for batch in an_epoch(batches):
        for is_backward in (0, 1):
            first_part = batch.positions[is_backward] < 31
            places = batch.positions[is_backward][first_part].tolist()
            places = {30 - place if is_backward else place for place in places}
            written = batch.tokens[is_backward, :31].tolist()[:: -1 if is_backward else 1]
            words = word_spans(written, {0, 1}, begins)
            broken[is_backward] += sum(0 < len(places & set(range(*word))) < word[1] - word[0] for word in words)
            total += len(places)
    assert max(broken) < 0.03 * total  # single tokens which make up the number


def test_processes_have_lanes_of_their_own(store):
    together = next(iter(stream(permuted(store))))[0]
    apart = [next(iter(stream(permuted(store, tokens=62, rank=rank, processes=2))))[0] for rank in range(2)]
    assert torch.equal(together.tokens, torch.cat([batch.tokens for batch in apart]))
    assert torch.equal(together.order, torch.cat([batch.order for batch in apart]))


@pytest.mark.parametrize("options", [{}, {"both_ways": True}, {"length": 8, "reuse": 3}, {"length": 30, "reuse": 7}])
def test_nothing_that_is_predicted_was_remembered_or_is_told_by_what_is_seen(store, options):
    """Of which places of a lane each state knows is followed through two layers and the memory of what came before."""
    memories = None
    for number, batch in islice(enumerate(an_epoch(permuted(store, **options))), 12):
        following, reuse = [], batch.reuse
        for row in range(len(batch)):
            order, is_target = batch.order[row], batch.is_target[row]
            # a place of the lane for the running text and for the segment which follows it, none for the others
            middle = batch.tokens[row].tolist().index(1, reuse)
            place = [number * reuse + position if position < middle else None for position in range(len(order))]
            own = [{at} - {None} | {("token", position)} for position, at in enumerate(place)]
            seen = may_attend(order, is_target).tolist()
            remembered = [] if memories is None else memories[row]
            states, layers = own, []
            for layer in range(2):
                layers.append([known - {("token", p) for p in range(len(order))} for known in states[:reuse]])
                past = set().union(*(known for known in remembered[layer])) if remembered else set()
                sees = [[states[j] for j in range(len(order)) if seen[i][j]] for i in range(len(order))]
                for position in batch.positions[row].tolist():
                    told = past.union(*sees[position])
                    assert ("token", position) not in told
                    assert place[position] is None or place[position] not in told
                states = [past.union(states[i], *sees[i]) for i in range(len(order))]
            following.append(layers)
        memories = following


REFUSED = [
    (lambda store: masked(store, length=2), "length must be 3 or more for 1 text, got 2"),
    (lambda store: masked(store, NextSentence(), length=4), "length must be 5 or more for 2 texts, got 4"),
    (lambda store: masked(store, tokens=31), "a batch of tokens=31 cannot hold a sequence of length=32"),
    (lambda store: masked(store, masks=-1), "masks and seed must not be negative, got -1 and 3"),
    (lambda store: stream(masked(store), Cursor(0, 50)), "is not a place in MaskedSequences"),
    (
        lambda store: stream(MaskedSequences(store, Unpaired(), Masking(2, 9), FIRST, 32, 100)),
        "was made with 29 ids, and masks are of 9",
    ),
    (lambda store: permuted(store, reuse=0), "reuse must be 1 or more, and leave 5 of length=31"),
    (lambda store: permuted(store, reuse=27), "tokens, got 27"),
    (lambda store: permuted(store, tokens=30), "a batch of tokens=30 cannot hold 1 sequences of length=31"),
    (lambda store: permuted(store, tokens=61, both_ways=True), "tokens=61 cannot hold 2 sequences of length=31"),
    (lambda store: permuted(store, seed=-1), "seed must not be negative"),
    (lambda store: stream(permuted(store, tokens=100_000)), "too few for 3225 shares"),
    (lambda store: stream(permuted(store), Cursor(0, 0, 10_000)), "is not a place in PermutedSequences"),
    (
        lambda store: stream(PermutedSequences(store, Permuting([True] * 9), LAST, 31, 13, 130)),
        "begins_word tells of 9",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_batches_which_make_no_sense_are_refused(store, make, message):
    with pytest.raises(ValueError, match=message):
        make(store)


def test_next_sentences_of_one_document_are_refused_before_training(tmp_path):
    store = SentenceStore.build(tmp_path / "store", [Piece("ab\ncd", "x", 1)], LETTERS, sentences="lines")
    with pytest.raises(ValueError, match="has one document"):
        stream(masked(store, NextSentence()))


def test_parts_of_a_batch_which_do_not_belong_together_are_refused():
    text, three = Packed.of([[3, 4], [5]]), torch.zeros(3, dtype=torch.int64)
    MaskedBatch(text, three, three[:2], three[:2], three[:2])
    with pytest.raises(ValueError, match=r"3 tokens in 2 sequences do not .* pair_labels \(3,\)"):
        MaskedBatch(text, three, three[:2], three[:2], three)
    with pytest.raises(ValueError, match=r"positions \(2,\), words \(3,\)"):
        MaskedBatch(text, three, three[:2], three)


def test_a_permuted_batch_tells_its_targets():
    tokens = torch.tensor([[7, 8, 9], [4, 5, 6]])
    batch = PermutedBatch(tokens, tokens, tokens, torch.tensor([[0, 2], [1, 2]]), reuse=1)
    assert batch.words.tolist() == [[7, 9], [5, 6]]
    assert batch.is_target.tolist() == [[True, False, True], [False, True, True]]
    assert batch.targets == 4

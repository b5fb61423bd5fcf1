"""Sentences in, sentences out: what must not depend on how they are computed."""

import random
import threading
import time

import pytest
import torch
from tiny import TRANSLATING, tiny
from torch.testing import assert_close

import regard
from regard.attention.record import attentions, recording, without_heads
from regard.decoding.threads import side_by_side
from regard.decoding.translator import Translator, _batches
from regard.models import MODELS
from regard.models.saved import save_model
from regard.text.tokenizer import SPECIAL, Tokenizer

SOURCES = ["a b c d e", "b", "", "c c c a", "e d c b a e d c b a", "a", "d e", "b b a e c d"]
TARGETS = ["x y z", "", "z z", "w x y z w", "x", "y y", "w", "z y"]
ATTENTIVE = ["rnnsearch", "transformer"]


def translator(name: str, *, joint: bool | None = None, seed: int = 0) -> Translator:
    joint = hasattr(MODELS[name].sizes["tiny"], "vocabulary") if joint is None else joint
    sides = [SOURCES + TARGETS] * 2 if joint else [SOURCES, TARGETS]
    source, target = (Tokenizer.train(lines, kind="words") for lines in sides)
    if joint:
        sizes, target = {"words": source.size}, source
    else:
        sizes = {"source_vocabulary": source.size, "target_vocabulary": target.size}
    return Translator(tiny(name, seed=seed, **sizes), source, target)


def test_one_sentence_is_not_translated_letter_by_letter():
    model = translator("transformer")
    uses = (
        model.translate,
        model.search,
        model.counts,
        lambda text: next(model.stream(text)),
        lambda text: model.score(text, ["x"] * len(text)),
        lambda text: model.score(["a"] * len(text), text),
    )
    for use in uses:
        with pytest.raises(ValueError, match=r"are a list, as \['A fine film\.'\]; got one text, 'a b c'"):
            use("a b c")


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", TRANSLATING)
def test_neither_order_nor_batches_change_a_translation(name, beams):
    model, order = translator(name), list(range(len(SOURCES)))
    options = {"beams": beams, "longest": 9}

    def found(sources, **more):
        translations = model.search(sources, best=beams, **options, **more)
        return [[(one.text, round(one.log_probability, 4)) for one in own] for own in translations]

    wanted = found(SOURCES)
    assert len({one for own in wanted for one in own}) > 5
    random.Random(0).shuffle(order)
    assert found([SOURCES[n] for n in order]) == [wanted[n] for n in order]
    assert [found([source])[0] for source in SOURCES] == wanted
    assert found(SOURCES, batch=1) == found(SOURCES, batch=30) == wanted
    first = [own[0][0] for own in wanted]
    assert model.translate(SOURCES, **options) == first
    assert list(model.stream(iter(SOURCES), at_once=3, **options)) == first


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_batches_side_by_side_come_in_order_and_leave_the_threads_as_they_were(two_threads):
    both = threading.Barrier(2, timeout=20)  # passed only by two at a time

    def work(item):
        both.wait()
        time.sleep(0.01 * (item % 2))
        return item, threading.get_ident(), torch.get_num_threads()

    results = list(side_by_side(work, range(6), 2))
    assert [item for item, _, _ in results] == list(range(6))
    assert len({name for _, name, _ in results} - {threading.get_ident()}) == 2
    assert {count for _, _, count in results} == {1}
    assert torch.get_num_threads() == 2
    assert list(side_by_side(lambda item: threading.get_ident(), [1], 2)) == [threading.get_ident()]


def test_what_goes_wrong_in_a_thread_is_raised_and_stops_the_others(two_threads):
    done = []

    def work(item):
        if item == 1:
            raise ValueError("no such word")
        time.sleep(0.05)
        done.append(item)

    with pytest.raises(ValueError, match="no such word"):
        list(side_by_side(work, range(100), 2))
    assert len(done) < 10
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", TRANSLATING)
def test_threads_change_nothing(name, two_threads):
    model, options = translator(name), {"beams": 3, "longest": 9, "batch": 12}
    side = model.search(SOURCES, **options)
    torch.set_num_threads(1)
    alone = model.search(SOURCES, **options)
    for (ours,), (theirs,) in zip(side, alone, strict=True):
        assert ours.pieces == theirs.pieces
        assert ours.score == pytest.approx(theirs.score, abs=1e-9)


def test_what_holds_in_this_thread_holds_for_every_batch(two_threads):
    model, options = translator("transformer"), {"beams": 2, "longest": 4, "batch": 12}
    assert model.batch_threads == 2
    with recording(model) as maps:
        assert model.batch_threads == 1
        model.search(SOURCES, **options)
        assert len(maps.calls["decoder.0.attention"]) > 1
    with torch.autocast("cpu", torch.bfloat16):
        assert model.batch_threads == 1


@pytest.mark.parametrize("name", TRANSLATING)
def test_a_score_is_the_sum_of_the_steps_log_probabilities(name):
    model = translator(name)
    scores = model.score(SOURCES, TARGETS)
    for n, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        state, token, log = model.model.start(model.pack([source], model.source)), None, 0.0
        for word in [*model.target.encode(target), 1]:
            step, state = model.model.step(token, state)
            log += float(step[0].log_softmax(-1)[word].detach())
            token = torch.tensor([word])
        assert scores[n] == pytest.approx(log, abs=1e-8)
    assert model.score(SOURCES, TARGETS, batch=1) == pytest.approx(scores, abs=1e-8)
    assert model.score(SOURCES[::-1], TARGETS[::-1]) == pytest.approx(scores[::-1], abs=1e-8)


def test_counts_hold_the_end_token():
    assert translator("rnnsearch").counts(TARGETS) == [len(target.split()) + 1 for target in TARGETS]


@pytest.mark.parametrize(("name", "joint"), [("rnnsearch", False), ("rnnsearch", True), ("transformer", True)])
def test_a_saved_translator_is_read_back_as_it_was(name, joint, tmp_path):
    model = translator(name, joint=joint)
    model.model.float()
    regard.save(model, tmp_path)
    again = regard.load(tmp_path)
    assert (again.target is again.source) == joint
    assert again.source == model.source
    assert again.target == model.target
    assert again.translate(SOURCES, beams=2, longest=6) == model.translate(SOURCES, beams=2, longest=6)
    assert again.score(SOURCES, TARGETS) == model.score(SOURCES, TARGETS)


def test_a_joint_translator_leaves_no_other_target_tokenizer_in_its_folder(tmp_path):
    translator("rnnsearch", joint=False).save(tmp_path)
    translator("rnnsearch", joint=True).save(tmp_path)
    again = Translator.load(tmp_path)
    assert again.target is again.source


def test_a_tokenizer_of_another_size_is_refused():
    model = translator("rnnsearch", joint=False)
    with pytest.raises(ValueError, match="the model knows"):
        Translator(model.model, model.target, model.source)


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model in .* it has no config\.json"):
        regard.load(tmp_path)


def test_a_folder_without_a_tokenizer_says_so(tmp_path):
    translator("rnnsearch").save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        regard.load(tmp_path)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_alignments_are_the_recorded_weights_of_the_last_layer(name):
    model = translator(name)
    found = model.search(SOURCES, beams=3, best=2, longest=7, alignments=True)
    last, scored = list(attentions(model))[-1], 0
    for source, own in zip(SOURCES, found, strict=True):
        for one in own:
            assert one.alignment.shape == (len(one.pieces), len(one.source_pieces))
            assert_close(one.alignment.sum(1), torch.ones(len(one.pieces), dtype=torch.float64))
            if one.finished and not set(one.pieces[:-1]) & set(SPECIAL):  # which have no text
                scored += 1
                with torch.no_grad(), recording(model) as maps:
                    model.score([source], [one.text])
                assert_close(one.alignment, maps[last][0].mean(0), atol=1e-8, rtol=1e-8)
    assert scored


@pytest.mark.parametrize("name", ATTENTIVE)
def test_alignments_do_not_change_the_translations(name):
    model, options = translator(name), {"beams": 3, "best": 3, "longest": 7}
    plain, aligned = (model.search(SOURCES, alignments=flag, **options) for flag in (False, True))
    assert [[one.text for one in own] for own in plain] == [[one.text for one in own] for own in aligned]
    assert all(one.alignment is None for own in plain for one in own)


def test_a_model_without_attention_has_no_alignments():
    with pytest.raises(ValueError, match="has no attention to look at"):
        translator("seq2seq").search(["a b"], alignments=True)


def test_a_translation_carries_what_it_is_made_of():
    model = translator("rnnsearch")
    (found,) = model.search(["a b c"], beams=4, best=4, longest=6, length_penalty=1.0)
    for one in found:
        assert one.source_pieces == ["a", "b", "c", "</s>"]
        assert (one.pieces[-1] == "</s>") == one.finished
        if one.finished:
            assert one.score == pytest.approx(one.log_probability / ((5 + len(one.pieces)) / 6))
            if not set(one.pieces[:-1]) & set(SPECIAL):
                assert model.score(["a b c"], [one.text]) == pytest.approx([one.log_probability], abs=1e-8)


def test_the_limit_follows_the_length_of_the_source():
    model = translator("rnnsearch")
    with torch.no_grad():
        model.model.output.bias[1] = -1e9  # never ends
    found = model.search(["a b c", "a"], beams=2)
    assert [len(own[0].pieces) for own in found] == [4 + 50, 2 + 50]
    assert not any(own[0].finished for own in found)


def test_searching_and_scoring_leave_the_mode_as_it_was_and_use_no_dropout():
    model = translator("transformer")
    model.model.dropout.rate = 0.5
    model.model.train()
    assert model.score(SOURCES, TARGETS) == model.score(SOURCES, TARGETS)
    assert model.translate(SOURCES, beams=2, longest=5) == model.translate(SOURCES, beams=2, longest=5)
    assert model.model.training


def test_a_translator_can_be_looked_into_as_its_model():
    model = translator("transformer")
    plain = model.score(["a b"], ["x"])
    with without_heads(model, {"decoder.0.source_attention": [0]}):
        assert model.score(["a b"], ["x"]) != plain
    with recording(model) as maps:
        assert model.score(["a b"], ["x"]) == pytest.approx(plain)
    assert maps["decoder.0.source_attention"].shape == (1, 4, 2, 3)


def test_nothing_gives_nothing():
    model = translator("rnnsearch")
    assert model.translate([]) == []
    assert model.score([], []) == []


@pytest.mark.parametrize("options", [{"beams": 0}, {"beams": 2, "best": 3}, {"longest": 0}, {"length_penalty": -1.0}])
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"must lie between|at least the end token|not negative"):
        translator("rnnsearch").search(["a"], **options)


@pytest.mark.parametrize("at_once", [0, -1])
def test_a_stream_of_no_lines_at_once_is_refused(at_once):
    with pytest.raises(ValueError, match=f"at_once must be 1 or more, got {at_once}"):
        list(translator("rnnsearch").stream(["a"], at_once=at_once))


def test_sources_and_targets_must_be_of_one_number():
    with pytest.raises(ValueError, match="there are 2 sources, but 1 targets"):
        translator("rnnsearch").score(["a", "b"], ["x"])


def test_batches_hold_each_sentence_once_and_stay_within_their_limit():
    lengths = [3, 50, 1, 7, 7, 2, 9]
    cut = list(_batches([1, 6, 3, 4, 0, 5, 2], lengths, 20))
    assert [n for chosen in cut for n in chosen] == [1, 6, 3, 4, 0, 5, 2]
    assert all(len(chosen) * max(lengths[n] for n in chosen) <= 20 or len(chosen) == 1 for chosen in cut)
    assert len(cut) == 4


def test_a_translator_keeps_its_length_penalty(tmp_path):
    model = translator("transformer")
    model.save(tmp_path)
    assert regard.load(tmp_path).length_penalty == 0.6
    model.length_penalty = 2.0
    model.save(tmp_path)
    own = regard.load(tmp_path)
    assert own.translate(SOURCES, beams=3) == model.translate(SOURCES, beams=3, length_penalty=2.0)
    (tmp_path / "search.json").unlink()
    assert regard.load(tmp_path).length_penalty == 0.6


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '{"length_penalty": -1}', '{"length_penalty": "1"}', '{"length_penalty": 1, "beams": 4}', "NaN"],
)
def test_a_damaged_search_file_is_named(text, tmp_path):
    translator("transformer").save(tmp_path)
    (tmp_path / "search.json").write_text(text)
    with pytest.raises(ValueError, match=r"search\.json (is not JSON|must hold).*regard tune"):
        regard.load(tmp_path)


def test_a_language_model_is_not_taken_for_a_translator(tmp_path):
    save_model(tiny("gpt2"), tmp_path)
    with pytest.raises(ValueError, match="holds gpt2, a language model, which `regard generate` and `score` use"):
        Translator.load(tmp_path)

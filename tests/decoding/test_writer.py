"""Prompts in, texts out."""

import pytest
import torch
from tiny import WRITING, tiny
from torch.testing import assert_close

import regard
from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.models import MODELS
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows
PROMPTS = ["abc", "h", "fedcbaabcdef", "ga", "", "bbbb"]


@pytest.fixture(params=WRITING)
def writer(request) -> Writer:
    """A model of random weights in float64, which says all sorts of things."""
    return Writer(tiny(request.param), LETTERS)


def by_hand(writer, prompt, tokens, context=1000) -> str:
    """The most probable continuation, reading the text anew for each token; of a full context the second half stays."""
    ids = LETTERS.encode(prompt) or [LETTERS.end]
    begins, read = len(ids), ids
    for _ in range(tokens):
        read = read if len(read) <= context else ids[-(context // 2) :]
        with torch.no_grad():
            chosen = int(writer.model(Packed.of([read]))[-1].argmax())
        if chosen == LETTERS.end:
            break
        ids, read = [*ids, chosen], [*read, chosen]
    return LETTERS.decode(ids[begins:], keeps_unknown=True)


def test_greedy_writing_is_reading_anew_for_each_token(writer):
    found = writer.generate(PROMPTS, tokens=12, temperature=0, at_once=4)
    assert found == [by_hand(writer, prompt, 12) for prompt in PROMPTS]


def test_nothing_is_written_after_each_letter_of_one_prompt(writer):
    for use in (writer.generate, writer.score, lambda text: next(writer.stream(text))):
        with pytest.raises(ValueError, match=r"are a list, as \['A fine film\.'\]; got one text, 'abc'"):
            use("abc")


def test_what_is_drawn_for_a_prompt_does_not_depend_on_the_others(writer):
    together = writer.generate(PROMPTS, tokens=12, seed=[3, 1, 4, 1, 5, 9])
    alone = [
        writer.generate([prompt], tokens=12, seed=seed)[0]
        for prompt, seed in zip(PROMPTS, [3, 1, 4, 1, 5, 9], strict=True)
    ]
    assert together == alone
    assert writer.generate(["abc"] * 20, tokens=12) != [writer.generate(["abc"], tokens=12)[0]] * 20


def test_streamed_parts_are_the_text(writer):
    texts, ended = [""] * len(PROMPTS), [""] * len(PROMPTS)
    for part in writer.stream(PROMPTS, tokens=9):
        assert not ended[part.prompt]
        texts[part.prompt] += part.text
        ended[part.prompt] = part.ended
    assert texts == writer.generate(PROMPTS, tokens=9)
    assert set(ended) <= {"end", "length"}


def test_texts_of_a_window_go_on_past_the_context():
    longest, prompts = 0, ["abc", "ab" * 9, "h"]
    for seed in range(8):
        writer = Writer(tiny("gpt2", context=10, seed=seed), LETTERS)
        found = writer.generate(prompts, tokens=40, temperature=0, window=True)
        assert found == [by_hand(writer, prompt, 40, context=10) for prompt in prompts]
        longest = max(longest, *map(len, found))
    assert longest > 20


def test_a_text_which_could_overfill_the_context_is_refused():
    writer = Writer(tiny("gpt2", context=10), LETTERS)
    assert len(writer.generate(["abcdefg"], tokens=4, temperature=0)[0]) <= 4
    with pytest.raises(ValueError, match=r"prompt 2 has 7 tokens, and with 5 new ones does not fit .* context of 10"):
        writer.generate(["a", "abcdefg"], tokens=5)


def test_a_stop_ends_a_text_and_is_no_part_of_it():
    writer = Writer(tiny("gpt2"), LETTERS)
    whole = writer.generate(["abc"], tokens=30, temperature=0)[0]
    for size in (1, 2, 4):
        stop = whole[5 : 5 + size]
        parts = list(writer.stream(["abc"], tokens=30, temperature=0, stop=[stop, "nowhere"]))
        assert "".join(part.text for part in parts) == whole[: whole.index(stop)]
        assert parts[-1].ended == "stop"


def test_a_stop_ends_the_best_beam_as_it_ends_a_text():
    writer = Writer(tiny("gpt2"), LETTERS)
    for number, prompt in enumerate(("abc", "ha", "ggd", "b")):
        whole = writer.generate([prompt], tokens=12, beams=3)[0]
        for stop in {whole[place : place + 2] for place in range(len(whole) - 3)}:
            parts = list(writer.stream([prompt], tokens=12, beams=3, stop=[stop]))
            assert "".join(part.text for part in parts) == whole[: whole.index(stop)], number
            assert [part.ended for part in parts if part.ended] == ["stop"]


def test_a_stop_which_only_begins_is_told_at_the_end():
    writer = Writer(tiny("gpt2"), LETTERS)
    whole = writer.generate(["abc"], tokens=8, temperature=0)[0]
    assert writer.generate(["abc"], tokens=8, temperature=0, stop=[whole[-3:] + "a" * 9]) == [whole]


def test_a_beam_of_one_letter_is_the_best_of_all(writer):
    (found,) = writer.generate(["abc"], tokens=3, beams=8)
    scores = {}
    for text in ("", *(a + b for a in "abcdefgh" for b in ("", *"abcdefgh"))):
        ids = [*LETTERS.encode("abc" + text), LETTERS.end]
        with torch.no_grad():
            logs = writer.model(Packed.of([ids[:-1]])).log_softmax(-1)
        scores[text] = float(sum(logs[place - 1, ids[place]] for place in range(3, len(ids))))
    assert len(found) < 3
    assert scores.get(found, -99) >= max(scores.values()) - 0.5  # a beam may miss the best by a little


def test_scores_are_log_probabilities_of_whole_texts(writer):
    found = writer.score(["abc", "", "hgfedc"], batch=5)
    for text, score in zip(["abc", "", "hgfedc"], found, strict=True):
        ids = [LETTERS.end, *LETTERS.encode(text), LETTERS.end]
        with torch.no_grad():
            logs = writer.model(Packed.of([ids[:-1]])).log_softmax(-1)
        assert_close(score, float(logs.gather(1, torch.tensor(ids[1:])[:, None]).sum()), atol=1e-9, rtol=0)


def test_texts_are_scored_together_within_the_limit():
    writer, read = Writer(tiny("gpt2"), LETTERS), []
    writer.model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].lengths.tolist()))
    texts = ["abcdefgh", "abcd", "abc", "ab", "a", "abcd"]
    scores = writer.score(texts, batch=10)
    assert sorted(length for batch in read for length in batch) == sorted(len(text) + 1 for text in texts)
    assert all(sum(batch) <= 10 for batch in read)
    assert len(read) == 3  # 9; 5 + 5; 4 + 3 + 2
    read.clear()
    assert_close(writer.score(texts, batch=1), scores, atol=1e-9, rtol=0)  # a text with more is alone
    assert len(read) == len(texts)


def test_a_writer_comes_back_from_its_folder(tmp_path, writer):
    writer.model.float()
    regard.save(writer, tmp_path)
    found = regard.load(tmp_path)
    assert isinstance(found, Writer)
    assert found.generate(PROMPTS, tokens=5, temperature=0) == writer.generate(PROMPTS, tokens=5, temperature=0)


def test_what_a_writer_attends_to_can_be_recorded():
    writer = Writer(tiny("gpt2"), LETTERS)
    with regard.recording(writer) as maps:
        writer.score(["abcd"])
    assert maps["blocks.1.attention"].shape == (1, 4, 5, 5)
    assert_close(maps["blocks.1.attention"].sum(-1), torch.ones(1, 4, 5).double())


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(ValueError, match="the model knows 12 ids, the tokenizer 11"):
        Writer(tiny("gpt2", words=12), LETTERS)


def test_a_translator_is_not_taken_for_a_writer(tmp_path):
    model = MODELS["rnnsearch"].model(MODELS["rnnsearch"].sizes["tiny"])
    from regard.models.saved import save_model

    save_model(model, tmp_path)
    with pytest.raises(ValueError, match="holds rnnsearch, an encoder-decoder, which `regard translate` uses"):
        Writer.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens, at_once and beams must be 1 or more"),
        ({"stop": "abc"}, "stop must be a list of texts"),
        ({"stop": [""]}, "none of them empty"),
        ({"seed": [1, 2]}, "there are 1 prompts, but 2 seeds"),
        ({"beams": 2, "temperature": 0.5}, "a beam search draws nothing"),
        ({"length_penalty": 0.5}, "length_penalty is of a beam search"),
        ({"tokens": 90, "beams": 2}, "prompt 1 has 3 tokens, .* let a window slide"),
        ({"tokens": 90, "beams": 2, "window": True}, "prompt 1 has 3 tokens, .* a beam search slides no window"),
    ],
)
def test_options_which_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Writer(tiny("gpt2"), LETTERS).generate(["abc"], **options)

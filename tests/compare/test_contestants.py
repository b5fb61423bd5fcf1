"""From what a user says to contestants which share what they must."""

import re

import pytest

from regard.compare.comparison import Comparison, LabelledTask
from regard.compare.contestants import read_comparison
from regard.recipes import comparisons

FOUR = [f"multi30k-{name}" for name in ("seq2seq", "encoder-decoder", "rnnsearch", "transformer")]


def test_four_recipes_share_the_data_and_the_batches_of_the_first():
    said = []
    found = read_comparison(FOUR, budget="10min", seeds=3, say=said.append)
    assert list(found.contestants) == FOUR
    runs = found.contestants.values()
    assert {run.model["kind"] for run in runs} == {"seq2seq", "encoder-decoder", "rnnsearch", "transformer"}
    assert {(run.text.vocabulary, run.plan.tokens, run.plan.budget) for run in runs} == {(5000, 1400, "10min")}
    assert [run.plan.rate for run in runs] == [0.002, 0.002, 0.0012, 0.001]  # how each is optimised is its own
    assert said == [
        "multi30k-rnnsearch shares text.vocabulary=5000, not 6000",
        "multi30k-transformer shares plan.tokens=1400, not 2048",
    ]


def test_all_are_measured_at_tenths_of_the_budget():
    found = read_comparison(FOUR, budget="10min")
    assert [run.plan.validate_every for run in found.contestants.values()] == [600, 650, 450, 350]
    assert [run.plan.save_every for run in found.contestants.values()] == [600, 650, 450, 350]


def test_an_architecture_is_trained_as_the_recipe_whose_data_it_has():
    found = read_comparison(["dates-rnnsearch", "transformer:tiny"], budget="1ktokens")
    rnnsearch, transformer = found.contestants.values()
    assert transformer.model == {"kind": "transformer", "size": "tiny"}
    assert transformer.plan == rnnsearch.plan
    assert transformer.train == rnnsearch.train


def test_a_contestant_has_settings_of_its_own_and_all_have_those_which_are_set():
    names = [
        "wikitext2-transformer-xl",
        "wikitext2-transformer-xl,model.memory=0,model.cutoffs=[2000, 9000],plan.rate=1",
    ]
    found = read_comparison(names, budget="1h", settings=["model.width=112", "plan.tokens=640"])
    plain, other = found.contestants.values()
    assert (plain.model["memory"], other.model["memory"]) == (64, 0)
    assert (other.model["cutoffs"], other.plan.rate) == ([2000, 9000], 1)
    assert {(run.model["width"], run.plan.tokens) for run in (plain, other)} == {(112, 640)}


def test_a_text_is_divided_into_one_to_train_and_one_to_validate_on():
    found = read_comparison(["gpt:tiny", "gpt2:tiny"], data="play.txt", budget="1min")
    for run in found.contestants.values():
        assert (run.train.path, run.train.share, run.validation.share) == ("play.txt", (0.0, 0.9), (0.9, 1.0))


def test_a_text_may_have_another_to_validate_on():
    found = read_comparison(["gpt:tiny", "gpt2:tiny"], data="a.txt", validation="b.txt", budget="1min")
    run = found.first
    assert (run.train.path, run.train.share, run.validation.path) == ("a.txt", (0.0, 1.0), "b.txt")


def test_sentence_pairs_are_two_files():
    found = read_comparison(
        ["transformer:tiny", "seq2seq:tiny"], data="a.de,a.en", validation="b.de,b.en", budget="1min"
    )
    run = found.first
    assert (run.train.path, run.train.target_path, run.validation.target_path) == ("a.de", "a.en", "b.en")


def test_the_data_of_a_recipe_are_asked_for_by_its_name():
    found = read_comparison(["gpt2:tiny", "gpt3:tiny"], data="tinyshakespeare-gpt2", budget="1min")
    assert found.first.train.path.endswith("input.txt")
    assert (found.first.text.kind, found.first.plan.reading) == ("characters", "stream")


FILE = """
about = "patterns"
budget = "20s"
seeds = 2
recipe = "tinyshakespeare-gpt2"

[plan]
tokens = 512

[contestants.dense]
model = { kind = "sparse-transformer", size = "tiny", pattern = "dense" }

[contestants.gpt2]

[contestants.slow]
recipe = "tinyshakespeare-gpt2-large"
plan = { rate = 0.0001 }
"""


def test_a_file_names_contestants_and_what_they_share(tmp_path):
    path = tmp_path / "patterns.toml"
    path.write_text(FILE)
    found = read_comparison([str(path)])
    dense, gpt2, slow = found.contestants.values()
    assert (found.about, found.budget, found.seeds) == ("patterns", "20s", 2)
    assert dense.model == {"kind": "sparse-transformer", "size": "tiny", "pattern": "dense"}  # nothing of GPT-2's
    assert (gpt2.model["width"], slow.model["width"], slow.plan.rate) == (128, 384, 0.0001)
    assert {(run.plan.tokens, run.plan.precision) for run in found.contestants.values()} == {(512, "float32")}
    other = read_comparison([str(path)], budget="1min", seeds=5, settings=["plan.tokens=600"])
    assert (other.budget, other.seeds, other.first.plan.tokens, other.first.plan.budget) == ("1min", 5, 600, "1min")


def test_the_data_of_a_file_are_replaced_and_all_else_is_kept(tmp_path):
    path = tmp_path / "patterns.toml"
    path.write_text(FILE)
    found = read_comparison([str(path)], data="play.txt").first
    assert (found.train.path, found.test, found.text.kind, found.plan.tokens) == ("play.txt", None, "characters", 512)
    found = read_comparison([str(path)], data="wikitext2-gpt2").first
    assert (found.train.path, found.text.vocabulary) == ("$REGARD_DATA/wikitext-2/wiki.train.tokens", 16384)
    assert found.plan.tokens == 512  # which the file sets for all


def test_a_text_is_read_as_the_first_recipe_reads_its_own():
    found = read_comparison(["gpt3:tiny", "tinyshakespeare-gpt2"], data="play.txt", budget="1min").first
    assert (found.train.path, found.text.kind, found.plan.tokens) == ("play.txt", "characters", 768)


def test_a_comparison_comes_back_from_its_file(tmp_path):
    found = read_comparison(["wikitext2-bert", "wikitext2-xlnet"], budget="1h", finetune="glue/MRPC", seeds=2)
    found.save(tmp_path)
    assert Comparison.load(tmp_path).table() == found.table()
    assert found.finetune == LabelledTask("glue/MRPC")
    assert found.finetune.ranks_by == "f1"  # GLUE names two, and this one first


@pytest.mark.parametrize("name", comparisons())
def test_every_comparison_of_the_library_can_be_read(name):
    found = read_comparison([name])
    assert found.about
    assert found.seeds >= 3
    assert len(found.contestants) >= 2


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "say who competes"),
        (["dates-transformer"], {}, "needs two contestants or more"),
        (
            ["dates-transformer", "dates-rnnserch"],
            {},
            "no architecture 'dates-rnnserch'.*did you mean 'dates-rnnsearch'",
        ),
        (["dates-transformer", "transformr:tiny"], {}, "did you mean 'transformer'"),
        (["dates-transformer", "gone.toml"], {}, "no recipe and no file 'gone.toml'"),
        (["gone.toml"], {}, "no file gone.toml"),
        (["dates-transformer", "dates-transformer"], {}, "named twice"),
        (["dates-transformer", "seq2seq"], {}, "say of which size seq2seq is, as seq2seq:paper"),
        (["dates-transformer", "seq2seq:huge"], {}, "model.size must be one of"),
        (["gpt2:tiny", "gpt3:tiny"], {}, "say with --data what is read"),
        (
            ["multi30k-transformer", "wikitext2-gpt2"],
            {},
            "must do the same, but multi30k-transformer translates, wikitext2-gpt2 writes text",
        ),
        (["dates-transformer", "gpt2:tiny"], {}, "must do the same"),
        (["wikitext2-gpt2", "wikitext2-bert"], {}, "wikitext2-gpt2 writes text, wikitext2-bert reads text"),
        (["dates-transformer", "dates-rnnsearch,plan.tokens=3"], {}, "all contestants share plan.tokens"),
        (["dates-transformer", "dates-rnnsearch,train.count=3"], {}, "own are its model and its plan, not train"),
        (["dates-transformer", "dates-rnnsearch"], {"budget": ""}, "say what each contestant may spend, with --budget"),
        (["dates-transformer", "dates-rnnsearch"], {"budget": "5mtokens"}, "did you mean 'Mtokens'"),
        (["dates-transformer", "dates-rnnsearch"], {"seeds": -1}, "seeds must be 1 or more, got -1"),
        (["dates-transformer", "dates-rnnsearch"], {"finetune": "a.csv"}, "only encoders are fine-tuned"),
        (
            ["dates-transformer", "dates-rnnsearch"],
            {"settings": ["plan.seed=3"]},
            "plan.seed is the comparison's: give --seeds",
        ),
        (["dates-transformer", "dates-rnnsearch,plan.patience=3"], {}, "all contestants share plan.patience"),
        (["wikitext2-bert", "wikitext2-xlnet"], {}, "masked, permuted and next words are not equally hard"),
        (["wikitext2-bert", "wikitext2-albert"], {"settings": ["finetune.epochs=3"]}, "finetune: missing path"),
        (
            ["wikitext2-bert", "wikitext2-albert"],
            {"finetune": "x.csv", "settings": ["finetune.epoch=3"]},
            "unknown key 'epoch'",
        ),
        (["transformer:tiny", "seq2seq:tiny"], {"data": "a,b"}, "say on which sentences models are validated"),
        (["transformer:tiny", "seq2seq:tiny"], {"data": "a,b,c"}, "one text, or two"),
        (
            ["gpt2:tiny", "gpt3:tiny"],
            {"data": "tinyshakespeare-gpt2", "validation": "x"},
            "--validation goes with --data",
        ),
    ],
)
def test_what_makes_no_comparison_is_named(models, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_comparison(models, **{"budget": "10min", **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("recip = 'x'", "unknown key 'recip'; did you mean 'recipe'"),
        ("[contestants]\na = 3", "a contestant is a name or a table, got 3"),
        ("recipe = 'tinyshakespeare-gpt2'\n[plan]\ntokenz = 3", "unknown key 'tokenz'; did you mean 'tokens'"),
    ],
)
def test_what_a_file_says_wrongly_is_named(tmp_path, change, message):
    path = tmp_path / "x.toml"
    path.write_text(
        change if change.startswith("[contestants]") else f"{change}\n[contestants]\na = 'gpt2:tiny'\nb = {{}}\n"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_comparison([str(path)], budget="1min")


def test_contestants_of_a_file_which_was_changed_by_hand_must_still_share():
    table = read_comparison(["dates-transformer", "dates-rnnsearch"], budget="1ktokens").table()
    table["contestants"]["dates-rnnsearch"]["plan"]["pool"] = 7
    with pytest.raises(ValueError, match=r"share their data and batches, but dates-rnnsearch has another plan\.pool"):
        Comparison.from_table(table, "x")
    table["contestants"]["dates-rnnsearch"]["plan"].update(pool=128, budget="2ktokens")
    with pytest.raises(ValueError, match="a budget of its own, '2ktokens'"):
        Comparison.from_table(table, "x")

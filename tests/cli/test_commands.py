"""The commands as a user meets them: what they print, what they write, and how they complain."""

import json
import shutil
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from tiny import tiny
from typer.testing import CliRunner

import regard
from regard.cli.__main__ import app
from regard.decoding.translator import save_search
from regard.models.saved import save_model
from regard.training.run import build_run, read_run

SHORT = [
    *("--set", "plan.steps=4", "--set", "plan.validate_every=2", "--set", "plan.save_every=2"),
    *("--set", "train.count=200", "--set", "validation.count=20", "--set", "test.count=20"),
    *("--set", "plan.validate_sentences=5", "--set", "plan.tokens=512"),
]
SMALL = [*SHORT, "--set", "model.width=16"]


def run(*arguments: str, text: str | None = None):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments), input=text, catch_exceptions=True)


def regard_process(*arguments: str, **options):
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "regard", *arguments], capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Transformer which has seen four batches: it knows nothing, but it is whole."""
    place = tmp_path_factory.mktemp("runs") / "dates"
    result = run("train", "dates-transformer", "--out", str(place), *SMALL)
    assert result.exit_code == 0, result.output
    return place


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory):
    """An RNNsearch of the same kind."""
    place = tmp_path_factory.mktemp("runs") / "recurrent"
    result = run("train", "dates-rnnsearch", "--out", str(place), *SMALL)
    assert result.exit_code == 0, result.output
    return place


def test_help_names_every_command_with_examples():
    shown = run("--help").output
    for command in ("train", "tune", "translate", "evaluate", "curves", "view", "recipes", "info", "demo"):
        assert command in shown
        assert "Example" in run(command, "--help").output


def test_demo_trains_both_models_and_draws_what_they_attend_to(tmp_path):
    result = run("demo", "--out", str(tmp_path), *SMALL)
    assert result.exit_code == 0, result.output
    assert "20 dates which neither model has seen" in result.output
    page = (tmp_path / "attention.html").read_text("utf-8")
    assert "RNNsearch (2014)" in page
    assert "Transformer (2017)" in page


def test_recipes_are_listed_and_each_has_a_description():
    listed = json.loads(run("recipes", "--json").output)
    assert {"dates-rnnsearch", "dates-transformer", "multi30k-transformer"} <= set(listed)
    assert all(listed.values())


def test_a_recipe_goes_on_from_a_model(folder, tmp_path):
    out = run("train", "dates-transformer", "--model", str(folder), "--out", str(tmp_path / "on"), *SHORT)
    assert out.exit_code == 0, out.output
    assert regard.load(tmp_path / "on").model.config == regard.load(folder).model.config


def test_a_run_folder_is_a_model_directory(folder):
    model = regard.load(folder)
    assert len(model.translate(["de_CH 3. März 1998"], beams=2)) == 1


def test_info_counts_parameters(folder):
    about = json.loads(run("info", str(folder), "--json").output)
    model = regard.load(folder).model
    assert about["parameters"] == sum(p.numel() for p in model.parameters())
    assert about["parameters"] == sum(about["parameters_by_part"].values())
    assert about["trained_on"]["train"] == "dates"
    assert about["last_checkpoint"]["step"] == 4
    assert about["attentions"]["decoder.1.source_attention"] == 4


def test_info_knows_language_models_too(tmp_path):
    model = tiny("transformer-xl")
    save_model(model, tmp_path)
    result = run("info", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "model: transformer-xl" in result.output
    assert f"parameters: {sum(p.numel() for p in model.parameters()):,}" in result.output
    assert "same_length: False" in result.output


@pytest.mark.parametrize("name", ["folder", "recurrent"])
def test_translate_gives_one_line_for_each_line_in_order(name, request):
    place = request.getfixturevalue(name)
    lines = ["en_US 3/4/98", "", "de_CH 3. März 1998", "fr_FR 14 juillet 1989"]
    out = run("translate", str(place), "--beams", "2", "--longest", "12", text="\n".join(lines) + "\n")
    assert out.exit_code == 0, out.output
    assert out.output.split("\n")[:-1] == regard.load(place).translate(lines, beams=2, longest=12)


def test_translate_as_json_gives_scores_and_alignments(folder):
    out = run(
        "translate",
        str(folder),
        "--json",
        "--best",
        "2",
        "--beams",
        "3",
        "--longest",
        "6",
        "--alignments",
        text="x 1\n",
    )
    record = json.loads(out.output)
    first, second = record["translations"]
    assert first["score"] >= second["score"]
    assert len(first["alignment"]) == len(first["pieces"])
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in first["alignment"])


def test_translate_answers_a_line_before_the_next_one_comes(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "regard", "translate", str(folder), "--beams", "1", "--longest", "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for line in ("en_US 3/4/98", "de_CH 3.4.98"):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith("\n")  # comes although standard input stays open
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()


def test_translate_stops_quietly_when_nobody_reads_on(folder):
    translate = f"{sys.executable} -m regard translate {folder} --beams 1 --longest 3"
    command = f"yes 'en_US 3/4/98' | head -2000 | {translate} | head -1"
    started = time.monotonic()
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr
    assert time.monotonic() - started < 100


def test_evaluate_scores_the_runs_own_test_set(folder, tmp_path):
    drawn, written = tmp_path / "lengths.svg", tmp_path / "out.txt"
    out = run(*("evaluate", str(folder), "--beams", "1", "--json", "--lengths", str(drawn), "--output", str(written)))
    assert out.exit_code == 0, out.output
    scores = json.loads(out.output)["scores"]["dates"]
    assert 0 <= scores["bleu"]["value"] <= 100
    assert drawn.read_text().startswith("<?xml")
    assert len(written.read_text().splitlines()) == 20


def test_tune_keeps_a_length_penalty_which_all_commands_use(folder, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("checkpoints", "data"))
    found = run("tune", str(place), "--penalty", "0", "--penalty", "1.5", "--beams", "2", "--json")
    assert found.exit_code == 0, found.output
    kept = json.loads(found.stdout)
    assert [trial["length_penalty"] for trial in kept["trials"]] == [0, 1.5]
    assert kept["length_penalty"] == regard.load(place).length_penalty
    (place / "search.json").write_text('{"length_penalty": 3}')
    scores = json.loads(run("evaluate", str(place), "--beams", "2", "--json").output)["scores"]["model"]
    assert scores["length_penalty"] == 3
    lines = ["en_US 3/4/98", "de_CH 3. März 1998"]
    out = run("translate", str(place), "--beams", "2", text="\n".join(lines) + "\n").output.splitlines()
    assert out == regard.load(folder).translate(lines, beams=2, length_penalty=3.0)


@pytest.mark.parametrize("penalty", ["nan", "inf", "-1"])
def test_tune_refuses_what_is_no_penalty(folder, penalty):
    before = (folder / "search.json").read_bytes()
    said = str(run("tune", str(folder), "--penalty", "0.6", "--penalty", penalty, "--beams", "2").exception)
    assert f"penalties are finite and not negative, got length={float(penalty)}" in said
    with pytest.raises(ValueError, match="penalties are finite"):
        save_search(float(penalty), folder)
    assert (folder / "search.json").read_bytes() == before


@pytest.fixture
def skipping(folder, tmp_path):
    """A run which passes over what it cannot use, and whose sets hold an empty sentence."""
    for side, empty in (("source", "3. März"), ("target", "")):
        (tmp_path / side).write_text(f"1998-03-03\n{empty}\n1999-04-05\n")
    sets = {"path": str(tmp_path / "source"), "target_path": str(tmp_path / "target")}
    place = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "data"))
    made = read_run(place / "run.toml").table()
    made["text"]["skip"] = True
    build_run({**made, "validation": sets, "test": sets}, "run").save(place)
    return place


def test_a_run_which_skips_is_measured_on_its_own_sets_as_it_reads_them(skipping):
    found = run("evaluate", str(skipping), "--beams", "1", "--json")
    assert found.exit_code == 0, found.exception
    tuned = run("tune", str(skipping), "--penalty", "0.6", "--beams", "2")
    assert tuned.exit_code == 0, tuned.exception


def test_evaluate_refuses_what_is_no_figure_before_it_translates(folder, tmp_path):
    result = run("evaluate", str(folder), "--lengths", str(tmp_path / "a.doc"), "--output", str(tmp_path / "out"))
    assert "a.doc: a figure is saved as .png, .svg, .pdf, got '.doc'" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_curves_draws_runs(folder, recurrent, tmp_path):
    result = run("curves", str(folder), str(recurrent), "--out", str(tmp_path / "curves.svg"))
    assert result.exit_code == 0, result.output
    assert ElementTree.parse(tmp_path / "curves.svg").getroot().tag.endswith("svg")


def test_view_writes_one_page(recurrent, tmp_path):
    page = tmp_path / "page.html"
    out = run("view", str(recurrent), "--text", "de_CH 3. März 1998", "--out", str(page), "--beams", "1")
    assert out.exit_code == 0, out.output
    assert "<html" in page.read_text()
    assert "http://" not in page.read_text().replace("http://www.w3.org", "")


def test_view_draws_a_picture(folder, tmp_path):
    picture = tmp_path / "attention.png"
    out = run("view", str(folder), "--text", "de_CH 3. März 1998", "--out", str(picture), "--beams", "1")
    assert out.exit_code == 0, out.output
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "give a recipe"),
        (["train", "dates-transfomer", "--out", "x"], "did you mean 'dates-transformer'"),
        (["train", "dates-transformer", "--out", "x", "--set", "plan.step=3"], "did you mean 'steps'"),
        (["train", "dates-transformer", "--out", "x", "--set", "plan.steps=many"], "must be of type int"),
        (["train", "dates-transformer", "--out", "x", "--set", "model.kind=transfomer"], "did you mean 'transformer'"),
        (["train", "--resume", "nowhere"], "no run to resume"),
        (["train", "--resume", "nowhere", "--model", "x"], "leave --model away"),
        (["train", "dates-transformer", "--out", "x", "--model", "nowhere"], "no model at nowhere: give a folder"),
        (["translate", "nowhere"], "no model at nowhere: give a folder, minilm, or hub:OWNER/NAME"),
        (["info", "nowhere"], "no model at nowhere: give a folder, minilm, or hub:OWNER/NAME"),
        (["evaluate", "nowhere"], "no folder and no file nowhere"),
        (["tune", "nowhere"], "no model at nowhere: give a folder, minilm, or hub:OWNER/NAME"),
        (["curves", "nowhere"], "nowhere holds no measures.jsonl"),
        (["view", "."], "give sentences"),
        (["view", "nowhere", "--text", "x"], "no model at nowhere"),
        (["view", ".", "--text", "x", "--out", "page.pdf"], "must end in"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments, says, tmp_path):
    result = regard_process(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not any(tmp_path.iterdir()), "a refused command leaves nothing behind"


@pytest.mark.parametrize("option", [("--text", "a"), ("--option", "a"), ("--skip",)])
def test_evaluate_refuses_options_of_encoders(folder, option):
    said = str(run("evaluate", str(folder), *option).exception)
    assert f"of encoders, not of encoder-decoders: {option[0]}" in said


@pytest.mark.parametrize("command", ["tune", "evaluate"])
def test_sources_need_their_references(folder, command):
    assert "give both --source and --target" in str(run(command, str(folder), "--source", "x").exception)


def test_a_folder_with_a_run_is_not_overwritten(folder):
    result = run("train", "dates-transformer", "--out", str(folder), *SMALL)
    assert "holds a run already" in str(result.exception)


def test_a_line_which_is_not_text_is_named(folder):
    command = [sys.executable, "-m", "regard", "translate", str(folder), "--longest", "3", "--beams", "1"]
    result = subprocess.run(command, input=b"fine\n\xff\xfe\n", capture_output=True, timeout=120)
    assert result.returncode == 1
    assert b"standard input:2: the line is not UTF-8" in result.stderr


def test_a_model_without_attention_says_so(tmp_path):
    settings = [setting if "width" not in setting else "model.width=8" for setting in SMALL]
    place = tmp_path / "plain"
    result = run("train", "dates-transformer", "--out", str(place), *settings, "--set", "model.kind=seq2seq")
    assert result.exit_code == 0, result.output
    result = run("view", str(place), "--text", "x")
    assert "has no attention to look at" in str(result.exception)

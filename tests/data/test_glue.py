"""GLUE's files as they are distributed, and how the papers fine-tune on them."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from regard.data.glue import GLUE_TASKS, read_glue
from regard.data.glue_settings import BERT_SEARCH, SETTINGS, Settings, settings_for
from regard.data.rows import Skipped

PARSES = "( A )\t( B )\t(ROOT A)\t(ROOT B)"
MNLI_HEAD = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
    "sentence2_parse\tsentence1\tsentence2"
)
STS_HEAD = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MNLI_DEV = (
    f"{MNLI_HEAD}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
    f"0\t63735\t63735n\tslate\t{PARSES}\tIt is new.\tIt is old.\tneutral\tneutral\tentailment\tneutral\tneutral\t"
    "contradiction\n"
)
# Two examples of every file in its official layout, and what is read from it: (texts, label) of each.
FILES = {
    ("CoLA", "train"): (
        "CoLA/train.tsv",
        "gj04\t1\t\tThe dog barks.\nks08\t0\t*\tDog the barks.\n",
        [(("The dog barks.",), "1"), (("Dog the barks.",), "0")],
    ),
    ("CoLA", "test"): (
        "CoLA/test.tsv",
        "index\tsentence\n0\tBill left.\n1\tLeft Bill.\n",
        [(("Bill left.",), None), (("Left Bill.",), None)],
    ),
    ("SST-2", "dev"): (
        "SST-2/dev.tsv",
        "sentence\tlabel\na joy \t1\na bore \t0\n",
        [(("a joy ",), "1"), (("a bore ",), "0")],
    ),
    ("MRPC", "train"): (
        "MRPC/train.tsv",
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\tHe left .\tHe went .\n0\t72\t73\tA .\tB .\n",
        [(("He left .", "He went ."), "1"), (("A .", "B ."), "0")],
    ),
    ("MRPC", "test"): (
        "MRPC/test.tsv",
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t70\t71\tHe left .\tHe went .\n1\t72\t73\tA .\tB .\n",
        [(("He left .", "He went ."), None), (("A .", "B ."), None)],
    ),
    ("STS-B", "train"): (
        "STS-B/train.tsv",
        f"{STS_HEAD}\tscore\n0\tnews\tx\t2012\t0001\tnone\tnone\tA plane.\tA bird.\t3.800\n"
        "1\tnews\tx\t2012\t0002\tnone\tnone\tA man.\tA man.\t5\n",
        [(("A plane.", "A bird."), 3.8), (("A man.", "A man."), 5.0)],
    ),
    ("STS-B", "test"): (
        "STS-B/test.tsv",
        f"{STS_HEAD}\n0\tnews\tx\t2012\t0001\tnone\tnone\tA plane.\tA bird.\n"
        "1\tnews\tx\t2012\t0002\tnone\tnone\tA man.\tA man.\n",
        [(("A plane.", "A bird."), None), (("A man.", "A man."), None)],
    ),
    ("QQP", "train"): (
        "QQP/train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        "133273\t213221\t213222\tWho am I?\tWho are you?\t0\n402555\t536040\t536041\tWhy?\tWhy is it?\t1\n",
        [(("Who am I?", "Who are you?"), "0"), (("Why?", "Why is it?"), "1")],
    ),
    ("QQP", "test"): (
        "QQP/test.tsv",
        "id\tquestion1\tquestion2\n0\tWho am I?\tWho are you?\n1\tWhy?\tWhy is it?\n",
        [(("Who am I?", "Who are you?"), None), (("Why?", "Why is it?"), None)],
    ),
    ("MNLI", "train"): (
        "MNLI/train.tsv",
        f"{MNLI_HEAD}\tlabel1\tgold_label\n"
        f"0\t31193\t31193n\tgovernment\t{PARSES}\tIt is new.\tIt is old.\tentailment\tneutral\n",
        [(("It is new.", "It is old."), "neutral")],
    ),
    ("MNLI", "dev_matched"): (
        "MNLI/dev_matched.tsv",
        MNLI_DEV,
        [(("It is new.", "It is old."), "contradiction")],
    ),
    ("MNLI", "dev_mismatched"): (
        "MNLI/dev_mismatched.tsv",
        MNLI_DEV,
        [(("It is new.", "It is old."), "contradiction")],
    ),
    ("MNLI", "test_matched"): (
        "MNLI/test_matched.tsv",
        f"{MNLI_HEAD}\n0\t31493\t31493\ttravel\t{PARSES}\tIt is new.\tIt is old.\n",
        [(("It is new.", "It is old."), None)],
    ),
    ("MNLI", "test_mismatched"): (
        "MNLI/test_mismatched.tsv",
        f"{MNLI_HEAD}\n0\t16130\t16130\tfacetoface\t{PARSES}\tIt is new.\tIt is old.\n",
        [(("It is new.", "It is old."), None)],
    ),
    ("QNLI", "train"): (
        "QNLI/train.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn 1998.\tnot_entailment\n1\tWho?\tHe did.\tentailment\n",
        [(("When?", "In 1998."), "not_entailment"), (("Who?", "He did."), "entailment")],
    ),
    ("RTE", "test"): (
        "RTE/test.tsv",
        "index\tsentence1\tsentence2\n0\tHe died.\tHe lives.\n1\tA.\tB.\n",
        [(("He died.", "He lives."), None), (("A.", "B."), None)],
    ),
    ("WNLI", "dev"): (
        "WNLI/dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tThe drain is clogged with hair.\tIt is clean.\t0\n",
        [(("The drain is clogged with hair.", "It is clean."), "0")],
    ),
    ("AX", "test"): (
        "diagnostic/diagnostic.tsv",
        "index\tsentence1\tsentence2\n0\tThe cat sat.\tThe cat did not sit.\n",
        [(("The cat sat.", "The cat did not sit."), None)],
    ),
    ("AX", "full"): (
        "diagnostic/diagnostic-full.tsv",
        "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel\n"
        "\t\tNegation\t\tArtificial\tThe cat sat.\tThe cat did not sit.\tcontradiction\n",
        [(("The cat sat.", "The cat did not sit."), "contradiction")],
    ),
}


@pytest.fixture
def write(tmp_path):
    """Write a file below the folder of data, which is handed back: `write("RTE/dev.tsv", contents)`."""

    def write(name, contents):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents.encode())
        return tmp_path

    return write


@pytest.mark.parametrize(("task", "split"), FILES)
def test_each_file_is_read_in_its_official_layout(write, task, split):
    name, contents, expected = FILES[task, split]
    assert [(example.texts, example.label) for example in read_glue(task, write(name, contents), split)] == expected


@pytest.mark.parametrize(("task", "split"), FILES)
def test_an_example_knows_its_line(write, task, split):
    name, contents, _ = FILES[task, split]
    folder = write(name, contents)
    lines = (folder / name).read_text(encoding="utf-8-sig").split("\n")
    for example in read_glue(task, folder, split):
        path, _, number = example.place.rpartition(":")
        assert path == str(folder / name)
        assert all(text in lines[int(number) - 1] for text in example.texts)


def test_the_table_says_which_task_predicts_a_number():
    assert {name for name, task in GLUE_TASKS.items() if task.is_regression} == {"STS-B"}


def test_the_order_of_the_labels_of_inference_is_not_that_of_the_hub():
    assert GLUE_TASKS["MNLI"].labels == ("contradiction", "entailment", "neutral")
    assert GLUE_TASKS["QNLI"].labels == GLUE_TASKS["RTE"].labels == ("entailment", "not_entailment")


def test_an_unpaired_quote_is_a_letter(write):
    folder = write(
        "RTE/dev.tsv", 'index\tsentence1\tsentence2\tlabel\n0\t"So\tNo "\tentailment\n1\tA"\t"\tentailment\n'
    )
    assert [example.texts for example in read_glue("RTE", folder, "dev")] == [('"So', 'No "'), ('A"', '"')]


@given(
    some.lists(
        some.tuples(*[some.text(some.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]))] * 2),
        min_size=1,
    )
)
def test_any_texts_come_back_as_they_were_written(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("glue")
    (folder / "RTE").mkdir()
    rows = (f"{number}\t{first}\t{second}\tentailment\n" for number, (first, second) in enumerate(pairs))
    (folder / "RTE" / "dev.tsv").write_bytes(("index\tsentence1\tsentence2\tlabel\n" + "".join(rows)).encode())
    assert [example.texts for example in read_glue("RTE", folder, "dev")] == pairs


BROKEN = (
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tIs it\n so?\tIs it?\t1\n\n4\t5\t6\tWhy?\tWhen?\t0\n"
)


def test_short_lines_of_qqp_are_passed_over_and_counted(write):
    skipped = Skipped()
    folder = write("QQP/train.tsv", BROKEN)
    examples = read_glue("QQP", folder, "train", skipped=skipped)
    assert [example.texts for example in examples] == [("Why?", "When?")]
    assert examples[0].place.endswith(":5")
    assert dict(skipped) == {"with a missing column": 3}
    assert read_glue("QQP", folder, "train") == examples


def test_a_long_line_of_qqp_is_an_error(write):
    folder = write("QQP/train.tsv", BROKEN.replace("Why?", "Why\t?"))
    with pytest.raises(ValueError, match=r"train\.tsv:5: .*is_duplicate here, got 7 cells"):
        read_glue("QQP", folder, "train", skipped=Skipped())


def test_a_short_line_of_a_test_file_is_an_error_even_in_qqp(write):
    folder = write("QQP/test.tsv", "id\tquestion1\tquestion2\n0\tWhy?\tWhen?\n1\tWhy?\n")
    with pytest.raises(ValueError, match=r"test\.tsv:3: .*got 2 cells"):
        read_glue("QQP", folder, "test", skipped=Skipped())


def test_a_short_line_of_another_task_is_an_error_which_names_the_columns(write):
    folder = write("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tentailment\n")
    with pytest.raises(ValueError, match=r"dev\.tsv:2: .*index, sentence1, sentence2, label here, got 3 cells"):
        read_glue("RTE", folder, "dev", skipped=Skipped())


@pytest.mark.parametrize(
    ("task", "split", "other"),
    [
        ("RTE", "dev", ("QNLI", "train")),
        ("RTE", "test", ("MNLI", "test_matched")),
        ("QNLI", "dev", ("RTE", "test")),
        ("MNLI", "train", ("MNLI", "dev_matched")),
        ("MNLI", "dev_matched", ("MNLI", "train")),
        ("MRPC", "dev", ("MRPC", "test")),
        ("SST-2", "dev", ("CoLA", "test")),
        ("QQP", "dev", ("SST-2", "dev")),
    ],
)
def test_a_file_with_the_columns_of_another_is_refused_and_the_right_ones_are_named(write, task, split, other):
    file = GLUE_TASKS[task].files[split]
    folder = write(f"{task}/{file.name}", FILES[other][1])
    with pytest.raises(
        ValueError, match=rf"{file.name}:1: {task} has the header {', '.join(file.layout.columns)} here"
    ):
        read_glue(task, folder, split)


def test_the_file_of_a_task_with_the_same_columns_is_found_out_by_its_labels(write):
    folder = write("WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tnot_entailment\n")
    with pytest.raises(ValueError, match=r"dev\.tsv:2: the labels of WNLI are 0, 1, got 'not_entailment'"):
        read_glue("WNLI", folder, "dev")


@pytest.mark.parametrize("other", [("SST-2", "dev"), ("RTE", "test"), ("WNLI", "dev")])
def test_a_file_with_a_header_is_not_taken_for_colas_training_data(write, other):
    folder = write("CoLA/train.tsv", FILES[other][1])
    with pytest.raises(ValueError, match=r"train\.tsv:1: "):
        read_glue("CoLA", folder, "train")


@pytest.mark.parametrize("cell", ["5.1", "-0.5", "nan", "inf", "high", ""])
def test_a_score_outside_its_range_is_an_error(write, cell):
    folder = write("STS-B/dev.tsv", f"{STS_HEAD}\tscore\n0\tg\tf\ty\to\tn\tn\tA\tB\t{cell}\n")
    with pytest.raises(ValueError, match=rf"dev\.tsv:2: a score of STS-B is a number from 0 to 5, got '{cell}'"):
        read_glue("STS-B", folder, "dev")


def test_a_test_file_with_a_line_left_out_is_an_error(write):
    folder = write("RTE/test.tsv", "index\tsentence1\tsentence2\n0\tA\tB\n2\tC\tD\n")
    with pytest.raises(ValueError, match=r"test\.tsv:3: .*expected 1, got '2'"):
        read_glue("RTE", folder, "test")


def test_a_missing_file_is_an_error_which_says_what_is_looked_for_and_where(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_glue("MNLI", tmp_path, "dev_matched")
    for part in (str(tmp_path / "MNLI" / "dev_matched.tsv"), "dev_mismatched.tsv", "test_matched.tsv"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("task", "split"), [("CoLA", "train"), ("RTE", "test")])
def test_a_file_without_an_example_is_an_error(write, task, split):
    header = "" if task == "CoLA" else "index\tsentence1\tsentence2\n"
    folder = write(f"{task}/{split}.tsv", header)
    with pytest.raises(ValueError, match=f"no example of {task}"):
        read_glue(task, folder, split)


def test_bytes_which_are_no_text_are_an_error_with_their_line(write):
    folder = write("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n")
    with open(folder / "RTE" / "dev.tsv", "ab") as file:
        file.write(b"0\tcaf\xe9\tB\tentailment\n")
    with pytest.raises(ValueError, match=r"dev\.tsv:2: byte 6 .*not UTF-8"):
        read_glue("RTE", folder, "dev")


def test_an_unknown_task_or_split_is_an_error_which_names_those_there_are():
    with pytest.raises(ValueError, match=r"must be one of CoLA, SST-2, .*got 'cola'"):
        read_glue("cola", "nowhere", "dev")
    with pytest.raises(ValueError, match="split of MNLI must be one of train, dev_matched, dev_mismatched"):
        read_glue("MNLI", "nowhere", "dev")


def present(data):
    """The official files which are there."""
    return [
        (task, split)
        for task, row in GLUE_TASKS.items()
        for split, file in row.files.items()
        if (data / "glue" / row.folder / file.name).is_file()
    ]


@pytest.mark.data
class TestOfficialFiles:
    """What holds for the files which GLUE distributes."""

    def test_every_split_has_the_published_count(self, data):
        splits = present(data)
        assert len(splits) >= 20
        for task, split in splits:
            count = len(read_glue(task, data / "glue", split))
            assert count == GLUE_TASKS[task].files[split].count, (task, split)

    def test_every_label_of_the_training_data_occurs(self, data):
        for task, split in present(data):
            labels = {example.label for example in read_glue(task, data / "glue", split)}
            if split.startswith("test"):
                assert labels == {None}
            elif task == "STS-B":
                assert {0.0, 5.0} < labels
            else:
                assert labels == set(GLUE_TASKS[task].labels)

    @pytest.mark.parametrize(
        ("task", "split", "first", "last"),
        [
            (
                "CoLA",
                "train",
                (("Our friends won't buy this analysis, let alone the next one we propose.",), "1"),
                (("What all did you get for Christmas?",), "1"),
            ),
            (
                "CoLA",
                "dev",
                (("The sailors rode the breeze clear of the rocks.",), "1"),
                (("John talked to Bill about himself.",), "1"),
            ),
            (
                "CoLA",
                "test",
                (("Bill whistled past the house.",), None),
                (("A picture of himself frightened John.",), None),
            ),
            (
                "SST-2",
                "train",
                (("hide new secretions from the parental units ",), "0"),
                (
                    ("this new jangle of noise , mayhem and stupidity must be a serious contender for the title . ",),
                    "0",
                ),
            ),
            (
                "STS-B",
                "dev",
                (("A man with a hard hat is dancing.", "A man wearing a hard hat is dancing."), 5.0),
                (
                    (
                        "New video shows US police officers beating mentally-ill man",
                        "New York police officer critically wounded in hatchet attack",
                    ),
                    0.0,
                ),
            ),
            (
                "RTE",
                "train",
                (
                    (
                        "No Weapons of Mass Destruction Found in Iraq Yet.",
                        "Weapons of Mass Destruction Found in Iraq.",
                    ),
                    "not_entailment",
                ),
                (
                    (
                        "Turkey is unlikely to become involved in, or allow U.S. forces to use Turkish territory in a "
                        "Middle East war that does not threaten her territory directly.",
                        "U.S. to use Turkish military bases.",
                    ),
                    "not_entailment",
                ),
            ),
            (
                "WNLI",
                "dev",
                (
                    ("The drain is clogged with hair. It has to be cleaned.", "The hair has to be cleaned."),
                    "0",
                ),
                (
                    (
                        "George got free tickets to the play, but he gave them to Eric, because he was not "
                        "particularly eager to see it.",
                        "Eric was not particularly eager to see it.",
                    ),
                    "0",
                ),
            ),
            (
                "AX",
                "test",
                (("The cat sat on the mat.", "The cat did not sit on the mat."), None),
                (
                    (
                        "The new general artificial intelligence I'm developing should come with an off switch.",
                        "A general artificial intelligence should always come with an off switch.",
                    ),
                    None,
                ),
            ),
        ],
    )
    def test_the_first_and_the_last_row_are_right(self, data, task, split, first, last):
        examples = read_glue(task, data / "glue", split)
        assert (examples[0].texts, examples[0].label) == first
        assert (examples[-1].texts, examples[-1].label) == last

    def test_mrpc_reads_strings_and_no_numbers(self, data):
        for split in ("train", "dev", "test"):
            for example in read_glue("MRPC", data / "glue", split):
                assert not any(text.isdecimal() for text in example.texts)

    def test_unpaired_quotes_survive(self, data):
        path = data / "glue" / "MRPC" / "train.tsv"
        quotes = path.read_bytes().count(b'"')
        examples = read_glue("MRPC", data / "glue", "train")
        assert sum(text.count('"') for example in examples for text in example.texts) == quotes
        assert any(text.count('"') % 2 for example in examples for text in example.texts)

    def test_the_majority_of_wnlis_development_set_is_as_published(self, data):
        labels = [example.label for example in read_glue("WNLI", data / "glue", "dev")]
        assert round(100 * labels.count("0") / len(labels), 1) == 56.3

    def test_bert_takes_as_many_steps_on_mrpc_as_its_authors_log(self, data):
        examples = read_glue("MRPC", data / "glue", "train")
        settings = settings_for("bert", "MRPC")[-1]
        assert (settings.rate, settings.batch, settings.epochs) == (2e-5, 32, 3)
        assert settings.steps_for(len(examples)) == 343  # `global_step` in the README of google-research/bert


@pytest.mark.parametrize(
    ("task", "rate", "batch", "steps", "warmup"),
    [
        ("SST-2", 1e-5, 32, 20935, 1256),
        ("MNLI", 3e-5, 128, 10000, 1000),
        ("CoLA", 1e-5, 16, 5336, 320),
        ("QNLI", 1e-5, 32, 33112, 1986),
        ("QQP", 5e-5, 128, 14000, 1000),
        ("RTE", 3e-5, 32, 800, 200),
        ("STS-B", 2e-5, 16, 3598, 214),
        ("MRPC", 2e-5, 32, 800, 200),
    ],
)
def test_the_steps_of_alberts_script_come_back_whole(task, rate, batch, steps, warmup):
    (settings,) = settings_for("albert", task)
    assert (settings.rate, settings.batch, settings.longest) == (rate, batch, 512)
    count = GLUE_TASKS[task].files["train"].count
    assert settings.steps_for(count) == steps
    assert settings.warmup * steps == pytest.approx(warmup)


def test_xlnet_on_sts_b_is_as_in_its_readme():
    (settings,) = settings_for("xlnet", "STS-B")
    assert (settings.rate, settings.batch, settings.longest) == (5e-5, 4 * 8, 128)
    assert (settings.steps_for(5749), settings.warmup) == (1200, 0.1)
    assert (settings.optimiser, settings.beta2, settings.decay) == ("adamw", 0.999, 0.0)


def test_bert_is_given_four_rates_to_choose_from():
    assert [settings.rate for settings in settings_for("bert", "RTE")] == [5e-5, 4e-5, 3e-5, 2e-5]
    assert len(set(BERT_SEARCH)) == 2 * 3 * 3


def test_data_smaller_than_a_batch_make_one_step():
    assert Settings(1e-5, 32, 0.1, 128, epochs=2).steps_for(3) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": None}, "epochs or steps"),
        ({"steps": 10}, "epochs or steps"),
        ({"rate": 0.0}, "rate must be positive, got 0.0"),
        ({"batch": 0}, "batch must be positive"),
        ({"longest": -1}, "longest must be positive"),
        ({"epochs": 0}, "epochs must be positive"),
        ({"warmup": 100}, "share of the steps"),
    ],
)
def test_settings_out_of_range_are_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"rate": 1e-5, "batch": 32, "warmup": 0.1, "longest": 128, "epochs": 3} | changes)


def test_a_task_without_published_settings_is_an_error_which_names_those_with():
    with pytest.raises(ValueError, match=r"no published settings of xlnet for RTE, only for STS-B, MNLI"):
        settings_for("xlnet", "RTE")
    with pytest.raises(ValueError, match="must be one of minilm, bert, albert, xlnet"):
        settings_for("gpt9", "RTE")


def test_settings_are_of_tasks_which_can_be_trained():
    for tasks in SETTINGS.values():
        assert all("train" in GLUE_TASKS[task].files for task in tasks)


def test_folders_are_named_as_they_are_distributed():
    folders = {task.folder for task in GLUE_TASKS.values()}
    assert folders == {"CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI", "diagnostic"}

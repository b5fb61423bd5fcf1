"""Reading SQuAD's files."""

import gzip
import json
import re

import pytest

from regard.data.benchmarks import SquadFile
from regard.data.squad import Answer, Question, read_squad

CONTEXT = "Ada Lovelace wrote it in 1843."
ASKED = {"id": "1", "question": "Who?", "answers": [{"text": "Ada Lovelace", "answer_start": 0}]}


def document(*questions, **more):
    """A file's content with one paragraph."""
    return {
        "version": "v2.0",
        "data": [{"title": "Ada", "paragraphs": [{"context": CONTEXT, "qas": questions}], **more}],
    }


@pytest.fixture
def written(tmp_path):
    """A function which writes content, and gives the path."""

    def write(content, name="dev.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_a_question_of_the_first_version_has_answers_and_is_possible(written):
    path = written(document(ASKED))
    assert read_squad(path) == [
        Question(
            id="1",
            text="Who?",
            context=CONTEXT,
            answers=(Answer("Ada Lovelace", 0),),
            is_impossible=False,
            title="Ada",
            place=f"{path}: data[0].paragraphs[0].qas[0]",
        )
    ]


def test_a_question_of_the_second_version_may_have_no_answer(written):
    impossible = {"id": "2", "question": "Where?", "is_impossible": True, "answers": [], "plausible_answers": [{}]}
    [one, other] = read_squad(written(document(ASKED | {"is_impossible": False}, impossible)))
    assert (one.is_impossible, other.is_impossible) == (False, True)
    assert one.is_labelled
    assert other.is_labelled


def test_questions_for_prediction_are_unlabelled(written):
    [one] = read_squad(written(document({"id": "1", "question": "Who?"})))
    assert not one.is_labelled
    assert one.answers == ()


def test_a_question_is_asked_without_its_answers(written):
    impossible = {"id": "2", "question": "Where?", "is_impossible": True, "answers": []}
    for question in read_squad(written(document(ASKED, impossible))):
        asked = question.without_answers()
        assert not asked.is_labelled
        assert (asked.id, asked.text, asked.context) == (question.id, question.text, question.context)


def test_questions_of_a_paragraph_share_its_text(written):
    one, other = read_squad(written(document(ASKED, ASKED | {"id": "2"})))
    assert one.context is other.context


def test_a_compressed_file_and_a_byte_order_mark_are_read(tmp_path):
    plain, compressed = tmp_path / "dev.json", tmp_path / "dev.json.gz"
    plain.write_bytes(b"\xef\xbb\xbf" + json.dumps(document(ASKED)).encode())
    compressed.write_bytes(gzip.compress(json.dumps(document(ASKED)).encode()))
    assert [one.text for one in read_squad(plain)] == [one.text for one in read_squad(compressed)] == ["Who?"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "dev.json:1: this is not JSON"),
        ('{"data": [],\n"data": []}', "dev.json: this is not JSON (the name 'data' is given twice)"),
        ("[" * 100_000, "dev.json: this is not JSON"),
        ([], "dev.json: this is not SQuAD's JSON, whose articles are a list named 'data'"),
        ({"version": "1.1"}, "dev.json: this is not SQuAD's JSON, whose articles are a list named 'data'"),
        ({}, "a table of JSON has an object a line, and ends in .jsonl"),
        ({"data": {}}, "dev.json: data: must be a list, got an object"),
        ({"data": [{"title": 3, "paragraphs": []}]}, "dev.json: data[0].title: must be text, got a whole number"),
        ({"data": [{"title": ""}]}, "dev.json: data[0]: no 'paragraphs'; there is 'title'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "dev.json: data[0].paragraphs[0]: no 'context'"),
        (document("Who?"), "dev.json: data[0].paragraphs[0].qas[0]: must be an object, got text"),
        (document(ASKED, ASKED | {"id": 2}), "paragraphs[0].qas[1].id: must be text, got a whole number"),
        (document(ASKED | {"question": None}), "qas[0].question: must be text, got nothing"),
        (document(ASKED | {"question": "\ud800"}), "qas[0].question: character 1 is half of a surrogate pair"),
        (document(ASKED | {"is_impossible": "no"}), "qas[0].is_impossible: must be true or false, got text"),
        (document(ASKED | {"answers": {"text": []}}), "qas[0].answers: must be a list, got an object"),
        (document(ASKED | {"answers": [{"text": "Ada"}]}), "qas[0].answers[0]: no 'answer_start'; there is 'text'"),
        (
            document(ASKED | {"answers": [{"text": "Ada", "answer_start": True}]}),
            "qas[0].answers[0].answer_start: must be a whole number, got true or false",
        ),
        (
            document(ASKED | {"answers": [{"text": "Ada", "answer_start": -1}]}),
            "qas[0].answers[0].answer_start: must not be negative, got -1",
        ),
        (document(ASKED | {"is_impossible": True}), "qas[0]: question '1' is impossible and has answers"),
        (document(ASKED, ASKED), "qas[1]: id '1' is given already to"),
    ],
)
def test_a_mistake_is_named_with_its_place(written, content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_squad(written(content))


def test_a_file_which_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.json"):
        read_squad(tmp_path / "absent.json")


def test_a_file_which_is_cut_short_is_named(tmp_path):
    path = tmp_path / "dev.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document(ASKED)).encode())[:-20])
    with pytest.raises(ValueError, match=r"dev\.json\.gz: the file cannot be read"):
        read_squad(path)


@pytest.mark.data
@pytest.mark.parametrize(("part", "number", "impossible"), [("dev", 1463, 673), ("train", 16209, 2104)])
def test_the_real_parts_have_their_questions(data, part, number, impossible):
    questions = read_squad(data / "squad" / f"{part}-part.json")
    assert len(questions) == number
    assert sum(question.is_impossible for question in questions) == impossible
    assert all(question.is_labelled for question in questions)


def several(kinds):
    """A file's content with an article of four questions for each count of impossible ones."""
    articles = []
    for number, impossible in enumerate(kinds):
        asked = [
            {"id": f"{number}-{n}", "question": "Who?", "is_impossible": n < impossible, "answers": ASKED["answers"]}
            for n in range(4)
        ]
        asked = [{**one, "answers": []} if one["is_impossible"] else one for one in asked]
        articles.append({"title": f"{number}", "paragraphs": [{"context": CONTEXT, "qas": asked}]})
    return {"version": "v2.0", "data": articles}


@pytest.mark.parametrize("held", [0.1, 0.25, 0.5])
def test_shares_have_whole_articles_of_both_kinds(written, held):
    path = str(written(several([0] * 60 + [3] * 20)))
    apart, kept = SquadFile(path, (0.0, held)).read(), SquadFile(path, (held, 1.0)).read()
    assert sorted(apart + kept, key=lambda one: one.place) == sorted(read_squad(path), key=lambda one: one.place)
    assert not {one.title for one in apart} & {one.title for one in kept}
    assert len(apart) == pytest.approx(held * 320, abs=8)
    for part in (apart, kept):
        assert sum(one.is_impossible for one in part) / len(part) == pytest.approx(60 / 320, rel=0.4)


def test_of_a_file_with_hardly_any_articles_shares_have_whole_contexts(written):
    content = several([0] * 30 + [2] * 10)
    paragraphs = [one["paragraphs"][0] | {"context": f"{CONTEXT} {n}"} for n, one in enumerate(content["data"])]
    path = str(written({"data": [{"paragraphs": paragraphs}]}))
    apart, kept = SquadFile(path, (0.0, 0.25)).read(), SquadFile(path, (0.25, 1.0)).read()
    assert (len(apart), len(apart) + len(kept)) == (40, 160)
    assert not {one.context for one in apart} & {one.context for one in kept}
    assert 2 <= sum(one.is_impossible for one in apart) <= 8


def test_a_share_without_an_article_is_refused(written):
    path = written(several([0]))
    assert len(SquadFile(str(path), (0.0, 0.1)).read()) == 4
    with pytest.raises(ValueError, match=re.escape(f"{path}: none of its 1 contexts is in the share [0.1, 1.0]")):
        SquadFile(str(path), (0.1, 1.0)).read()
    path = written(several([0] * 10))
    with pytest.raises(ValueError, match=re.escape("none of its 10 articles is in the share [0.001, 0.002]")):
        SquadFile(str(path), (0.001, 0.002)).read()


def test_a_file_without_questions_is_refused(written):
    with pytest.raises(ValueError, match="there is no question in it"):
        SquadFile(str(written({"data": []}))).read()

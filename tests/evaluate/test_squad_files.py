"""The files in which predictions travel."""

import json
import math
import re

import pytest

from regard.decoding.spans import Ranked, Span
from regard.evaluate.squad_files import (
    read_null_odds,
    read_predictions,
    write_answers,
)

RANKED = {
    "a": Ranked((Span("Köln", 0, 4, 2.0, 1.0, 0.75), Span("am Rhein", 5, 13, 1.5, 0.5, 0.25)), 2.0, -1.0),
    "b": Ranked((Span("x", 0, 1, 0.0, 0.0, 1.0),), 0.5, 0.5),
    "c": Ranked((), 2.0, math.inf),
}


def test_what_is_written_comes_back(tmp_path):
    write_answers(tmp_path / "new", RANKED)
    assert read_predictions(tmp_path / "new" / "predictions.json") == {"a": "Köln", "b": "", "c": ""}
    odds = read_null_odds(tmp_path / "new" / "null_odds.json")
    assert (odds["a"], odds["b"]) == (-1.0, 0.5)
    assert 1e300 < odds["c"] < math.inf


def test_each_answer_is_listed_with_both_of_its_scores(tmp_path):
    write_answers(tmp_path, RANKED)
    listed = json.loads((tmp_path / "nbest_predictions.json").read_text(encoding="utf-8"))
    assert {id: [one["text"] for one in answers] for id, answers in listed.items()} == {
        "a": ["Köln", "am Rhein"],
        "b": ["x"],
        "c": [],
    }
    assert listed["a"][0] == {"text": "Köln", "probability": 0.75, "start_logit": 2.0, "end_logit": 1.0}


def test_answers_are_decided_by_the_threshold(tmp_path):
    write_answers(tmp_path, RANKED, threshold=math.inf)
    assert read_predictions(tmp_path / "predictions.json") == {"a": "Köln", "b": "x", "c": ""}
    write_answers(tmp_path, RANKED, threshold=-2.0)
    assert read_predictions(tmp_path / "predictions.json") == {"a": "", "b": "", "c": ""}


def test_predictions_of_others_are_read(tmp_path):
    predictions = {"1": "السَّلامُ", "2": "", "3": 'a "b"\n\u2028'}
    for ascii in (True, False):
        (tmp_path / "mine.json").write_text(json.dumps(predictions, ensure_ascii=ascii), encoding="utf-8")
        assert read_predictions(tmp_path / "mine.json") == predictions


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_predictions, "[]", "file.json: must be an object, got a list"),
        (read_predictions, '{"a": null}', "file.json: a: must be text, got nothing"),
        (read_predictions, '{"a": "x", "a": "y"}', "file.json: this is not JSON (the name 'a' is given twice)"),
        (read_null_odds, '{"a": "0.5"}', "file.json: a: must be a number, got text"),
        (read_null_odds, '{"a": true}', "file.json: a: must be a number, got true or false"),
        (read_null_odds, '{"a": NaN}', "file.json: a: must be a number, got nan"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, read, content, message):
    path = tmp_path / "file.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path)


def test_whole_numbers_are_odds_too(tmp_path):
    (tmp_path / "odds.json").write_text('{"a": 1, "b": -0.5}', encoding="utf-8")
    assert read_null_odds(tmp_path / "odds.json") == {"a": 1.0, "b": -0.5}

"""The recipes of Transformers which results are held against: they learn, and what they are scored on is whole."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ is no part of the installed package

from small_encoders import reviews, save_reader, write_sentences

from benchmarks import questions, sentences
from regard.data.squad import read_squad

LEARNS = {"learning_rate": 3e-3, "per_device_train_batch_size": 8, "seed": 1, "disable_tqdm": True, "use_cpu": True}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_reader(tmp_path_factory.mktemp("models") / "bert", context=64)


def test_sentences_are_learnt(tmp_path, checkpoint):
    (tmp_path / "SST-2").mkdir()
    for split, count, seed in (("train", 120, 0), ("dev", 40, 1)):
        write_sentences(tmp_path / "SST-2" / f"{split}.tsv", count, seed)
    found = sentences.measure(tmp_path, "SST-2", checkpoint, num_train_epochs=3, **LEARNS)
    assert found.sheets["SST-2"].examples == 40
    assert found.sheets["SST-2"]["accuracy"] > 0.9


def test_numbers_are_learnt_as_numbers(tmp_path, checkpoint):
    (tmp_path / "STS-B").mkdir()
    head = "index genre filename year old_index source1 source2 sentence1 sentence2 score".replace(" ", "\t")
    for split, count, seed in (("train", 120, 0), ("dev", 40, 1)):
        rows = [
            "\t".join([str(n), *"abcdef", text, text, "5.0" if label == "pos" else "0.0"])
            for n, (text, label) in enumerate(reviews(count, seed))
        ]
        (tmp_path / "STS-B" / f"{split}.tsv").write_text("\n".join([head, *rows]) + "\n")
    found = sentences.measure(tmp_path, "STS-B", checkpoint, num_train_epochs=3, **LEARNS)
    assert found.sheets["STS-B"]["pearson"] > 0.8


def test_questions_are_all_answered_from_their_contexts(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr(questions, "LONGEST", 32)
    monkeypatch.setattr(questions, "OVERLAP", 8)
    articles = []
    for number, (text, label) in enumerate(reviews(60)):
        context = f"{text} and the walk ended " * (number % 3 + 1)  # some in several windows
        answers = [{"text": text, "answer_start": 0}] if label == "pos" else []
        asked = {"id": str(number), "question": "the film", "is_impossible": not answers, "answers": answers}
        articles.append({"title": "", "paragraphs": [{"context": context, "qas": [asked]}]})
    (tmp_path / "a.json").write_text(json.dumps({"data": articles}))
    dev = read_squad(tmp_path / "a.json")
    found = questions.measure(str(tmp_path / "a.json"), dev, checkpoint, held=0.3, num_train_epochs=8, **LEARNS)
    for _, scores in found.values():
        assert (scores.all.total, scores.missing) == (60, 0)
    _, tuned = found["a tuned threshold"]
    assert tuned.all.f1 > 80

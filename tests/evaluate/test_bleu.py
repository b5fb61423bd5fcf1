"""BLEU and chrF against sacreBLEU's own command and cases worked by hand."""

import json
import math
import subprocess
import sys

import pytest

from regard.evaluate import bleu, chrf, tokenised_bleu

REFERENCES = [
    "A man in an orange hat starring at something.",
    "A Boston Terrier is running on lush green grass in front of a white fence.",
    "A girl in karate uniform breaking a stick with a front kick.",
    "Two men's t-shirts hang outside, e.g. on a line!",
]
HYPOTHESES = [
    "A man in an orange hat is staring at something.",
    "A boston terrier runs on lush green grass in front of a white fence.",
    "A girl in a karate uniform breaks a board with a kick.",
    "Two men's T-shirts hang outside on the line!",
]


def command(tmp_path, *options):
    """What sacreBLEU's command says of the texts above."""
    (tmp_path / "references").write_text("\n".join(REFERENCES) + "\n")
    (tmp_path / "hypotheses").write_text("\n".join(HYPOTHESES) + "\n")
    words = [sys.executable, "-m", "sacrebleu", tmp_path / "references", "-i", tmp_path / "hypotheses", "-w", "10"]
    result = subprocess.run([*words, *options], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_bleu_and_its_signature_are_those_of_sacrebleus_command(tmp_path):
    theirs = command(tmp_path, "-m", "bleu")
    ours = bleu(HYPOTHESES, REFERENCES)
    assert ours.value == pytest.approx(theirs["score"], abs=1e-9)  # ten digits are printed
    assert ours.signature == theirs["signature"].removeprefix("BLEU|")


def test_chrf_and_its_signature_are_those_of_sacrebleus_command(tmp_path):
    theirs = command(tmp_path, "-m", "chrf")
    ours = chrf(HYPOTHESES, REFERENCES)
    assert ours.value == pytest.approx(theirs["score"], abs=1e-9)  # ten digits are printed
    assert ours.signature == theirs["signature"].removeprefix("chrF2|")


def test_tokenised_bleu_is_that_of_sacrebleus_command(tmp_path):
    options = ("--lowercase", "--tokenize", "intl", "--smooth-method", "none")
    theirs = command(tmp_path, "-m", "bleu", *options)
    assert tokenised_bleu(HYPOTHESES, REFERENCES).value == pytest.approx(theirs["score"], abs=1e-9)


def test_bleu_of_a_case_worked_by_hand():
    # Of the hypothesis's n-grams 5/6, 4/5, 3/4 and 2/3 stand in the reference, which is one word longer.
    hypotheses, references = ["a b c d e x"], ["a b c d e f g"]
    precisions = (5 / 6) * (4 / 5) * (3 / 4) * (2 / 3)
    assert bleu(hypotheses, references).value == pytest.approx(100 * math.exp(1 - 7 / 6) * precisions**0.25)


def test_bleu_is_of_the_corpus_and_no_mean_of_sentences():
    # Matches and lengths are summed first: 8/9 words, 6/7 pairs, 4/5 triples, 2/3 quadruples, 9 words of 9.
    hypotheses, references = ["a b c d", "p q r s x"], ["a b c d", "p q r s t"]
    precisions = (8 / 9) * (6 / 7) * (4 / 5) * (2 / 3)
    assert bleu(hypotheses, references).value == pytest.approx(100 * precisions**0.25)


def test_tokenised_bleu_ignores_case_and_divides_at_hyphens_and_apostrophes():
    same = tokenised_bleu(["The man's T-shirt is red."], ["the man ' s t - shirt is RED ."])
    assert same.value == pytest.approx(100)


def test_tokenised_bleu_is_not_smoothed():
    assert tokenised_bleu(["a b c x"], ["a b c d"]).value == 0


def test_a_missing_translation_is_an_error_with_both_counts():
    with pytest.raises(ValueError, match="3 hypotheses and 4 references"):
        bleu(HYPOTHESES[:3], REFERENCES)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no sentence to score"):
        chrf([], [])


def test_one_string_in_place_of_a_list_is_an_error():
    with pytest.raises(ValueError, match="hypotheses must be a list of sentences"):
        bleu("a b c d", "a b c d")

"""The report of a system's scores."""

import json
import math

import pytest

from regard.evaluate import bleu, exact_match, measure, perplexity, score

REFERENCES = ["1998-03-03", "2001-12-24", "1977-05-01", "2020-02-29"]
HYPOTHESES = ["1998-03-03 ", "2001-12-24", "1977-05-02", "2020-02-29"]


class Copier:
    """Translates each sentence into itself, and is half sure of each of its characters and of the end."""

    def translate(self, sources, *, beams):
        """Each source itself."""
        return list(sources)

    def score(self, sources, targets):
        """One bit a character."""
        return [math.log(0.5) * count for count in self.counts(targets)]

    def counts(self, targets):
        """Characters, and the end."""
        return [len(target) + 1 for target in targets]


def test_three_of_four_equal_sentences_are_75_per_cent():
    assert exact_match(HYPOTHESES, REFERENCES) == 75


def test_the_table_shows_each_measure_with_its_signature_or_count():
    text = str(score(HYPOTHESES, REFERENCES, perplexity=perplexity([-1.0] * 4, [3] * 4, REFERENCES)))
    assert bleu(HYPOTHESES, REFERENCES).signature in text
    assert "75.00" in text
    assert "a token, over 12" in text


def test_the_report_as_json_holds_what_the_report_holds():
    report = score(HYPOTHESES, REFERENCES)
    read = json.loads(report.as_json())
    assert read["bleu"] == {"value": report.bleu.value, "signature": report.bleu.signature}
    assert (read["sentences"], read["exact_match"]) == (4, 75)


def test_an_infinite_perplexity_is_null_in_json():
    report = score(["a"], ["a"], perplexity=perplexity([-math.inf], [2], ["a"]))
    assert json.loads(report.as_json())["perplexity"]["per_token"] is None


def test_a_translator_is_measured_by_its_translations_and_its_probabilities():
    report = measure(Copier(), HYPOTHESES, REFERENCES)
    assert report.exact_match == 75
    assert report.perplexity is not None
    assert report.perplexity.per_token == pytest.approx(2)


def test_sources_without_references_are_an_error_with_both_counts():
    with pytest.raises(ValueError, match="4 sources and 3 references"):
        measure(Copier(), HYPOTHESES, REFERENCES[:3])

"""Choosing a length penalty."""

import pytest

from regard.evaluate.tuning import Trial, best_of, trials


class ByPenalty:
    """A translator whose translations grow with the length penalty."""

    def translate(self, sources, *, beams, length_penalty):
        assert beams == 4
        return [" ".join(source.split()[: round(10 * length_penalty)]) for source in sources]


def test_the_penalty_of_the_best_translations_wins():
    texts = ["a b c d e f", "g h i j k l m"]
    tried = list(trials(ByPenalty(), texts, texts, penalties=(0.4, 0.5, 0.7, 0.9), beams=4))
    assert [trial.length_penalty for trial in tried] == [0.4, 0.5, 0.7, 0.9]
    assert [trial.bleu for trial in tried] == sorted(trial.bleu for trial in tried)
    assert tried[2].bleu == pytest.approx(100)
    assert [trial.length for trial in tried] == pytest.approx([8 / 13, 10 / 13, 1, 1])
    assert best_of(tried) is tried[2]  # the smaller one of two which are as good


@pytest.mark.parametrize("references", [[], ["a"], ["a", "b", "c"]])
def test_sources_without_their_references_are_refused(references):
    with pytest.raises(ValueError, match=f"must pair up, got 2 sources and {len(references)} references"):
        list(trials(ByPenalty(), ["a", "b"], references, beams=4))


def test_a_trial_is_plain():
    assert Trial(1.0, 30.0, 0.9).as_dict() == {"length_penalty": 1.0, "bleu": 30.0, "length": 0.9}

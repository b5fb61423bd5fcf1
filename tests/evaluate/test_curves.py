"""The figure of how runs went."""

import pytest

from regard.evaluate.curves import curves_figure, smoothed

RUN = [
    {"step": 1, "loss": 4.0, "rate": 0.1, "tokens": 1_000_000},
    {"step": 20, "loss": 2.0, "rate": 0.1, "tokens": 3_000_000},
    {"step": 20, "validation_nats": 2.5, "validation_bleu": 11.0, "validation_exact_match": 1.0},
    {"step": 40, "loss": 1.0, "rate": 0.1, "tokens": 5_000_000},
    {"step": 33, "validation_nats": 1.5, "validation_bleu": 30.0, "validation_exact_match": 2.0},
]


@pytest.mark.parametrize(("quality", "values"), [("validation_bleu", [11, 30]), ("validation_exact_match", [1, 2])])
def test_each_run_is_drawn_by_the_tokens_it_was_trained_on(quality, values):
    left, right = curves_figure({"one": RUN, "other": RUN[:3]}, quality=quality).axes
    training, validation, *_ = left.lines
    assert list(training.get_xdata()) == [1.0, 3.0, 5.0]
    assert list(validation.get_xdata()) == [3.0, 5.0]  # step 33 lies between two measures, and is drawn at the later
    assert list(validation.get_ydata()) == [2.5, 1.5]
    assert list(right.lines[0].get_ydata()) == values
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["one", "other"]


def test_a_smoothed_value_is_the_mean_of_its_neighbours():
    assert smoothed([1.0, 2.0, 6.0, 4.0], 3) == [1.5, 3.0, 4.0, 5.0]
    assert smoothed([3.0, 1.0], 1) == [3.0, 1.0]


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ({}, {}, "there is no run to draw"),
        ({"young": [{"step": 1, "validation_nats": 3.0}]}, {}, "young has no measures of its training yet"),
        ({"one": RUN}, {"quality": "validation_beu"}, "quality must be one of validation_bleu, .*got 'validation_beu'"),
    ],
)
def test_what_cannot_be_drawn_says_so(runs, options, message):
    with pytest.raises(ValueError, match=message):
        curves_figure(runs, **options)

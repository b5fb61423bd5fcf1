"""Texts with labels, each at a place."""

from regard.data.examples import Example


def labelled(*labels, texts=None):
    """An example with each of these labels, and its place."""
    texts = texts or [f"text {number}" for number in range(len(labels))]
    return [
        Example((text,), label, f"a.csv:{number}")
        for number, (text, label) in enumerate(zip(texts, labels, strict=True), 2)
    ]

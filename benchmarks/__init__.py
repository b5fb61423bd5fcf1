"""regard measured beside its peers: `python -m benchmarks`, from the root of the repository.

Both sides work on the same sentences with the same token ids, in turns, in one process with two threads (for memory: in
one process each). What is compared, and how, is the docstring of each comparison's module.
"""

from importlib import import_module

from benchmarks.results import Outcome

COMPARISONS = {
    "training": "benchmarks.training",
    "translation": "benchmarks.translation",
    "rnnsearch": "benchmarks.rnnsearch",
    "recurrent": "benchmarks.recurrent",
    "sparse": "benchmarks.sparse",
    "long-range": "benchmarks.long_range",
    "language-training": "benchmarks.language_training",
    "generation": "benchmarks.generation",
    "fine-tuning": "benchmarks.encoders_training",
    "prediction": "benchmarks.encoders_prediction",
    "pre-training": "benchmarks.encoders_pretraining",
    "serving": "benchmarks.serving",
    "gpu": "benchmarks.gpu",
    "memory": "benchmarks.memory",
    "startup": "benchmarks.startup",
}


def compare(name: str, *, seconds: float) -> Outcome:
    """Run one comparison, each of its measurements for about `seconds` seconds."""
    return import_module(COMPARISONS[name]).compare(seconds=seconds)

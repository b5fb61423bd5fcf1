"""Runs pieces of code about the course's exercises under the TensorFlow it is started with, 1.15 or 2.

Its input is one JSON list a line: a file with code, a .npz file with what the code is given, and the .npz file which is
to hold every number, text and array that the code gives a name, and what it has `printed` and `warned`. Its output is
one line for each: null, or, as a JSON string, how the code failed. It must run under Python 3.7, which TensorFlow 1.15
needs.
"""

import contextlib
import io
import json
import os
import sys
import traceback
import warnings

import numpy as np
import tensorflow as tf


def put(layer, weights):
    """Give parts of a layer, by paths such as `blocks.0.mha.Wq`, their weights."""
    for path, arrays in weights.items():
        part = layer
        for name in path.split("."):
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        part.set_weights(arrays)


def settings(layer):
    """The class of one of Keras's layers and its settings, as JSON; initialisers by their class."""
    found = {"class": type(layer).__name__}
    for name, value in layer.get_config().items():
        found[name] = value["class_name"] if isinstance(value, dict) and "class_name" in value else value
    return json.dumps(found)


def run(code, given):
    """What the code has given a name; what it is given are tensors, but `weights`, which are arrays for `put`."""
    names = {"tf": tf, "np": np, "put": put, "settings": settings, "weights": {}}
    for name in given.files:
        if name.startswith("weights/"):
            names["weights"].setdefault(name.split("/")[1], []).append(given[name])
        else:
            names[name] = tf.constant(given[name])
    before, printed = set(names), io.StringIO()
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        exec(compile(code, "<the test's code>", "exec"), names)
    found = {
        "printed": np.array(printed.getvalue()),
        "warned": np.array([str(warning.message) for warning in warned], dtype=str),
    }
    for name, value in names.items():
        if name not in before and (
            tf.is_tensor(value) or isinstance(value, (bool, int, float, str, tuple, np.ndarray))
        ):
            found[name] = np.asarray(value)
    return found


def main():
    """Answer until there is nothing more to read."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    sys.path.insert(0, sys.argv[1])
    tf.compat.v1.enable_eager_execution()
    for line in sys.stdin:
        code, given, to = json.loads(line)
        failure = None
        try:
            with open(code, encoding="utf-8") as file, np.load(given) as arrays:
                np.savez(to, **run(file.read(), arrays))
        except Exception:
            failure = traceback.format_exc()
        answers.write(json.dumps(failure) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

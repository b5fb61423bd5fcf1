"""How the checkpoints here were made: `python make.py FOLDER`, by what TensorFlow 2.21 has of TensorFlow 1.

Each is saved beside what TensorFlow read in its variables (`*.npz`). No test runs this.
"""

import lzma
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
v1.disable_eager_execution()
FOLDER = Path(sys.argv[1])
RANDOM = np.random.default_rng(0)


def saved(name: str, variables: dict, *, devices: int = 1) -> None:
    """Initialise variables, save them as TensorFlow 1's `Saver` does, and write down what they are."""
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": devices})) as session:
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(sharded=devices > 1)
        saver.save(session, str(FOLDER / name), write_meta_graph=False, write_state=False)
        found = session.run({key: v1.convert_to_tensor(variable) for key, variable in variables.items()})
    plain = {
        key: value.astype(np.float32) if value.dtype == ml_dtypes.bfloat16 else value for key, value in found.items()
    }
    np.savez_compressed(FOLDER / f"{name.partition('.')[0]}.npz", **plain)


def normal(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Random numbers."""
    return RANDOM.normal(size=shape).astype(dtype)


def bert() -> None:
    """BERT's names, and every type."""
    values = {
        "bert/embeddings/word_embeddings": normal(11, 6),
        "bert/embeddings/LayerNorm/beta": normal(6),
        "bert/embeddings/LayerNorm/gamma": normal(6),
        "bert/encoder/layer_0/attention/self/query/kernel": normal(6, 6),
        "bert/encoder/layer_0/attention/self/query/bias": normal(6),
        "bert/encoder/layer_0/attention/self/query/kernel/adam_m": normal(6, 6),
        "cls/seq_relationship/output_weights": normal(2, 6),
        "types/half": normal(3, 2, dtype=np.float16),
        "types/brain": normal(2, 3, dtype=ml_dtypes.bfloat16),
        "types/double": normal(2, 2, 2, dtype=np.float64),
        "types/int": RANDOM.integers(-(2**31), 2**31, size=5).astype(np.int32),
        "types/truth": np.array([[True, False, True]]),
        "types/empty": np.zeros((0, 4), np.float32),
        "global_step": np.int64(1234567890123),
    }
    saved("bert_model.ckpt", {name: v1.get_variable(name, initializer=tf.constant(v)) for name, v in values.items()})


def parts() -> None:
    """Variables in parts, in two data files."""
    with tf.device("/cpu:0"):
        rows = v1.fixed_size_partitioner(3)
        words = v1.get_variable(
            "word_embeddings", (200, 2), initializer=v1.random_normal_initializer(), partitioner=rows
        )
        bias = v1.get_variable("dense/bias", initializer=tf.constant(normal(5)))
    with tf.device("/cpu:1"):
        columns = v1.fixed_size_partitioner(2, axis=1)
        kernel = v1.get_variable(
            "dense/kernel", (3, 10), initializer=v1.random_normal_initializer(), partitioner=columns
        )
        alone = v1.get_variable("alone", initializer=tf.constant(normal(2, 2)))
    variables = {"word_embeddings": words, "dense/kernel": kernel, "dense/bias": bias, "alone": alone}
    saved("parts.ckpt", variables, devices=2)


def many() -> None:
    """Names which take several blocks, parts which begin far from 0 and which reach all along an axis; and a string."""
    names = [f"layer_{number:03d}/{'long' * 250}" for number in range(300)]
    tensors: list = [np.int32(number) for number in range(300)]
    places = [""] * 300
    for start, length in ((0, 63), (63, 8137), (8200, 100)):
        names.append("far")
        tensors.append(np.arange(start, start + length)[None, :] % 7 == 0)
        places.append(f"1 8300 -:{start},{length}")
    names.append("text")
    tensors.append(np.array("not read"))
    places.append("")
    with v1.Session() as session:
        prefix = str(FOLDER / "many.ckpt")
        session.run(tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=places, tensors=tensors))
    for path in FOLDER.glob("many.ckpt.*"):
        path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()


for make in (bert, parts, many):
    with tf.Graph().as_default():
        make()

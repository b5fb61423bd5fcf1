"""ONNX Runtime with a model of Transformers: exported, its graph fused by ONNX Runtime's own optimiser."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from torch import Tensor, nn

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class _Scores(nn.Module):
    """The scores of a model as plain tensors, for the exporter."""

    def __init__(self, model: transformers.PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """Of a padded batch."""
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return (found.logits,) if "logits" in found else (found.start_logits, found.end_logits)


def export(model: transformers.PreTrainedModel, path: Path) -> None:
    """Write a model of BERT for ONNX Runtime, fused: embeddings, attention, GELU and norms are one operation each.

    The optimiser knows attention as two plain products, and as the exporter by tracing writes them; so the model is
    exported in this form.

    Raises:
        RuntimeError: if a layer was not fused, for then it would be slower than it need be.
    """
    before, size = model.config._attn_implementation or "sdpa", model.config
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0]])
    example = (ids, torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]), torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]]))
    outputs = [f"scores_{number}" for number in range(len(_Scores(model)(*example)))]
    model.set_attn_implementation("eager")
    try:
        with _quiet():
            torch.onnx.export(
                _Scores(model).eval(),
                example,
                path,
                input_names=list(NAMES),
                output_names=outputs,
                dynamic_axes={name: {0: "batch", 1: "length"} for name in NAMES},
                opset_version=17,
                dynamo=False,
            )
            fused = optimize_model(
                str(path), model_type="bert", num_heads=size.num_attention_heads, hidden_size=size.hidden_size
            )
    finally:
        model.set_attn_implementation(before)
    found = fused.get_fused_operator_statistics()
    if (found["EmbedLayerNormalization"], found["Attention"]) != (1, size.num_hidden_layers):
        raise RuntimeError(f"ONNX Runtime's optimiser did not fuse the model: {found}")
    fused.save_model_to_file(str(path))


def round_weights(path: Path) -> None:
    """Round the weights of a model to 8 bits, in its file; what is multiplied with them is rounded when it comes."""
    with _quiet():
        # the types of what its own fused operations give are not found out
        options = {"DefaultTensorType": TensorProto.FLOAT}
        quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True, extra_options=options)


def load(path: Path, *, threads: int) -> onnxruntime.InferenceSession:
    """The model, which computes with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def scores(session: onnxruntime.InferenceSession, batch: dict[str, Tensor]) -> tuple[np.ndarray, ...]:
    """Scores of a padded batch, [B, C], or of starts and ends, [B, T] each."""
    return tuple(map(np.asarray, session.run(None, {name: batch[name].numpy() for name in NAMES})))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter, the optimiser and the quantiser say of every step."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)

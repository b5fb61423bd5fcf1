"""Hugging Face's encoders with regard's weights, and the training step of its Trainer."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from benchmarks.encoders import filling
from regard.models.heads import Head
from regard.models.saved import save_model

Batch = dict[str, Tensor]


def build(model: Head) -> transformers.PreTrainedModel:
    """The class of Transformers for the same encoder and head, with the same weights; its attention is its default."""
    with TemporaryDirectory() as folder:
        save_model(model, folder)
        about: Any = transformers.AutoConfig.from_pretrained(folder)
        built = getattr(transformers, about.architectures[0]).from_pretrained(folder)
    built.config.pad_token_id = filling(model).id  # by which GPT's class finds where inputs end
    return built


def step(
    model: transformers.PreTrainedModel, *, bfloat16: bool, clip: float = 1.0, device: str = "cpu"
) -> Callable[[Batch], int]:
    """A function from a padded batch with its labels to examples, which takes one step of a Trainer.

    It is what `Trainer.train` does between two batches, in its order, with its default optimiser and schedule; but for
    its logs and checkpoints.
    """
    with TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            use_cpu=device == "cpu",
            bf16=bfloat16,
            max_grad_norm=clip,
            max_steps=1 << 20,
            report_to=[],
            disable_tqdm=True,
        )
        trainer: Any = transformers.Trainer(model, arguments)
    trainer.create_optimizer()
    prepared, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    trainer.create_scheduler(num_training_steps=arguments.max_steps)
    trainer.model_wrapped, trainer.current_gradient_accumulation_steps = prepared, 1

    def run(batch: Batch) -> int:
        trainer.training_step(prepared, dict(batch))
        trainer.accelerator.clip_grad_norm_(prepared.parameters(), clip)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        prepared.zero_grad()
        return len(batch["input_ids"])

    return run


@torch.inference_mode()
def scores(model: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    """Scores of a padded batch, [B, C], or of starts and ends, [B, T] each; both are in the host's memory."""
    device = next(model.parameters()).device
    found = model(**{name: values.to(device) for name, values in batch.items()})
    scores = (found.logits,) if "logits" in found else (found.start_logits, found.end_logits)
    return tuple(one.cpu() for one in scores)

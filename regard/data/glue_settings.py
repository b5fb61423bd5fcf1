"""How the papers fine-tune on GLUE's tasks: rates, batches, epochs or steps, and lengths."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from regard.data.glue import GLUE_TASKS
from regard.storage.names import require


@dataclass(frozen=True)
class Settings:
    """How a paper fine-tunes on a task.

    Raises:
        ValueError: if they say not one of epochs and steps, or a value is not in its range.
    """

    rate: float  # the highest, reached at the end of the warm-up
    batch: int  # examples
    warmup: float  # share of the steps
    longest: int  # tokens of an example, special ones included
    epochs: float | None = None
    steps: int | None = None
    optimiser: str = "bert"
    beta2: float = 0.0  # 0 is the optimiser's own
    decay: float = 0.01
    both_orders: bool = False
    head: str = ""  # what stands on the model, where it is not the task's usual

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give epochs or steps, one of the two, got epochs={self.epochs} and steps={self.steps}")
        for name in ("rate", "batch", "longest", "epochs", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the steps from 0 to below 1, got {self.warmup}")

    def steps_for(self, examples: int) -> int:
        """How many steps there are with so many examples to train on; what is left of a batch at the end is not one."""
        return self.steps if self.steps is not None else max(1, int(examples / self.batch * (self.epochs or 0)))


# Devlin et al. 2019, section 4.1: batches of 32, 3 epochs, and of four rates the best on the development set. Length
# and warm-up are those of `run_classifier.py`.
BERT_SETTINGS = tuple(Settings(rate, 32, 0.1, 128, epochs=3) for rate in (5e-5, 4e-5, 3e-5, 2e-5))
# Appendix A.3: what works well across all tasks, to be searched through.
BERT_SEARCH = tuple(
    Settings(rate, batch, 0.1, 128, epochs=epochs)
    for batch, rate, epochs in product((16, 32), (5e-5, 3e-5, 2e-5), (2, 3, 4))
)
# ALBERT's `run_glue.sh`, which leaves WNLI out: rate, batch, steps, and steps of warm-up.
_ALBERT = {
    "SST-2": (1e-5, 32, 20_935, 1256),
    "MNLI": (3e-5, 128, 10_000, 1000),
    "CoLA": (1e-5, 16, 5336, 320),
    "QNLI": (1e-5, 32, 33_112, 1986),
    "QQP": (5e-5, 128, 14_000, 1000),
    "RTE": (3e-5, 32, 800, 200),
    "STS-B": (2e-5, 16, 3598, 214),
    "MRPC": (2e-5, 32, 800, 200),
}
ALBERT_SETTINGS: Mapping[str, Settings] = MappingProxyType(
    {
        task: Settings(rate, batch, warmup / steps, 512, steps=steps)
        for task, (rate, batch, steps, warmup) in _ALBERT.items()
    }
)
# XLNet's code takes TensorFlow's Adam, whose moments are corrected, and lets nothing decay.
XLNET_SETTINGS: Mapping[str, Settings] = MappingProxyType(
    {
        task: Settings(rate, batch, warmup / steps, 128, steps=steps, optimiser="adamw", beta2=0.999, decay=0.0)
        for task, (rate, batch, steps, warmup) in {
            "STS-B": (5e-5, 32, 1200, 120),  # XLNet's README: batches of 8 on each of 4 GPUs
            "MNLI": (2e-5, 128, 10_000, 1000),  # the paper's; no released script has them
        }.items()
    }
)
# Radford et al. 2018, section 4.1; pairs whose order says nothing are read in both (section 3.3). Which length the
# authors took for GLUE is not known: theirs of BERT here.
GPT_SETTINGS: Mapping[str, Settings] = MappingProxyType(
    {
        task: Settings(
            *(6.25e-5, 32, 0.002, 128),
            epochs=3,
            optimiser="adamw",
            beta2=0.999,
            both_orders=task in ("MRPC", "STS-B", "QQP"),
        )
        for task in GLUE_TASKS
        if task not in ("AX", "WNLI")  # of which the paper says nothing
    }
)
# Of MiniLM, a BERT of width 384 which comes as a package, found here by development sets. With BERT's own optimiser,
# which does not correct Adam's moments, CoLA ends at these rates at the most frequent class (Zhang et al. 2021,
# "Revisiting Few-sample BERT Fine-tuning", saw that in large models). It was trained to give texts of one meaning near
# vectors, and is tuned to that on STS-B.
_MINILM = {
    "CoLA": (1e-4, 16, 5),
    "SST-2": (5e-5, 32, 1),
    "MRPC": (5e-5, 16, 5),
    "STS-B": (5e-5, 32, 2),
    "QQP": (5e-5, 32, 2),
    "MNLI": (5e-5, 32, 2),
    "QNLI": (5e-5, 32, 2),
    "RTE": (5e-5, 16, 8),
    "WNLI": (5e-5, 16, 3),
}
MINILM_SETTINGS: Mapping[str, Settings] = MappingProxyType(
    {
        task: Settings(
            *(rate, batch, 0.1, 128),
            epochs=epochs,
            optimiser="adamw",
            beta2=0.999,
            head="similarity" if task == "STS-B" else "",
        )
        for task, (rate, batch, epochs) in _MINILM.items()
    }
)
SETTINGS: Mapping[str, Mapping[str, tuple[Settings, ...]]] = MappingProxyType(
    {
        "minilm": MappingProxyType({task: (settings,) for task, settings in MINILM_SETTINGS.items()}),
        "bert": MappingProxyType({task: BERT_SETTINGS for task in GLUE_TASKS if task != "AX"}),
        "albert": MappingProxyType({task: (settings,) for task, settings in ALBERT_SETTINGS.items()}),
        "xlnet": MappingProxyType({task: (settings,) for task, settings in XLNET_SETTINGS.items()}),
        "gpt": MappingProxyType({task: (settings,) for task, settings in GPT_SETTINGS.items()}),
    }
)


def settings_for(model: str, task: str) -> tuple[Settings, ...]:
    """How a paper fine-tunes its model on a task; where there are several, the best on the development set is taken.

    Raises:
        ValueError: if there are none for the model or for the task.
    """
    require("task", task, GLUE_TASKS)
    require("model with published settings for GLUE", model, SETTINGS)
    if task not in SETTINGS[model]:
        raise ValueError(
            f"there are no published settings of {model} for {task}, only for {', '.join(SETTINGS[model])}; give rate, "
            "batch, and epochs or steps yourself"
        )
    return SETTINGS[model][task]

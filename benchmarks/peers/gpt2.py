"""Hugging Face's GPT-2 with regard's weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.models.gpt2 import GPT2, GPT2Config
from regard.models.hugging_face import LAYOUTS


def fresh(config: GPT2Config):
    """GPT2LMHeadModel with random weights; its dropout is 0.1 everywhere, as regard's."""
    import transformers

    sizes = {"vocab_size": config.vocabulary, "n_positions": config.context, "n_embd": config.width}
    depths = {"n_layer": config.depth, "n_head": config.heads}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **depths, bos_token_id=0, eos_token_id=0))


def build(model: GPT2):
    """GPT2LMHeadModel with the weights of a model of regard."""
    peer = fresh(model.config).eval()
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    peer.load_state_dict(LAYOUTS["gpt2"].write_tensors(weights), strict=False)  # its output matrix is the embedding
    peer.tie_weights()
    return peer


@torch.inference_mode()
def generate(model, prompts: Sequence[Sequence[int]], tokens: int) -> Tensor:
    """Greedy, so many new tokens after each prompt; prompts are padded on the left to the longest."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    is_token = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    return model.generate(ids, attention_mask=is_token, **options)

"""A GPT-2 made by hand: head h looks exactly `steps[h]` tokens back."""

import torch
from tiny import tiny
from torch import nn

from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows


def looking_back(*steps: int, context: int = 16) -> nn.Module:
    """One layer; positions are unit vectors, which a head's queries shift. A token with less past looks all over it."""
    width = len(steps) * context
    model = tiny("gpt2", width=width, heads=len(steps), depth=1, context=context)
    (block,) = model.blocks
    with torch.no_grad():
        model.token.weight.zero_()
        model.position.weight.copy_(torch.eye(context, width))
        block.attention_norm.weight.fill_(1)
        block.attention_norm.bias.zero_()
        block.attention.projection.bias.zero_()
        query, key, _ = block.attention.projection.weight.zero_().chunk(3)
        for head, back in enumerate(steps):
            rows = slice(head * context, (head + 1) * context)
            query[rows, :context] = 1000 * torch.diag(torch.ones(context - back), back)
            key[rows, :context] = torch.eye(context)
    return model

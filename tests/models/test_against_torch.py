"""The Transformer beside torch's own layers with the same weights, and Seq2Seq beside torch's LSTM."""

import pytest
import torch
from tiny import END, pairs, tiny
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close

from regard.layers.positions import sinusoids


def attention(theirs: nn.MultiheadAttention, ours: nn.Module):
    theirs.in_proj_weight.copy_(ours.projection.weight)
    theirs.out_proj.weight.copy_(ours.output.weight)
    theirs.in_proj_bias.zero_()
    theirs.out_proj.bias.zero_()


def copy(theirs: nn.Module, ours: nn.Module, norms: list[str]):
    attention(theirs.self_attn, ours.attention)
    if hasattr(theirs, "multihead_attn"):
        attention(theirs.multihead_attn, ours.source_attention)
    for number, part in ((1, ours.feed_forward.expand), (2, ours.feed_forward.contract)):
        getattr(theirs, f"linear{number}").load_state_dict(part.state_dict())
    for number, name in enumerate(norms, 1):
        getattr(theirs, f"norm{number}").load_state_dict(getattr(ours, name).state_dict())


@pytest.mark.parametrize("name", ["transformer", "transformer-prenorm"])
def test_the_transformer_is_made_of_torchs_layers(name):
    model, (source, target) = tiny(name), pairs()
    c, pre = model.config, name.endswith("prenorm")
    options = {"dim_feedforward": c.hidden, "dropout": 0.0, "layer_norm_eps": 1e-6, "batch_first": True}
    options |= {"norm_first": pre, "dtype": torch.float64}
    encoder = [nn.TransformerEncoderLayer(c.width, c.heads, **options) for _ in range(c.depth)]
    decoder = [nn.TransformerDecoderLayer(c.width, c.heads, **options) for _ in range(c.depth)]

    def embedded(rows: list[torch.Tensor]) -> torch.Tensor:
        x = pad_sequence(rows, batch_first=True)
        return x + sinusoids(torch.arange(x.shape[1]), c.width)

    def is_padding(side):
        return torch.arange(int(side.lengths.max())) >= side.lengths[:, None]

    with torch.no_grad():
        for theirs, ours in zip(encoder, model.encoder, strict=True):
            copy(theirs, ours, ["attention_norm", "feed_forward_norm"])
        for theirs, ours in zip(decoder, model.decoder, strict=True):
            copy(theirs, ours, ["attention_norm", "source_norm", "feed_forward_norm"])
        table = model.token.weight * c.width**0.5
        memory = embedded([table[x] for x in source.unpack(source.tokens)])
        for layer in encoder:
            memory = layer(memory, src_key_padding_mask=is_padding(source))
        memory = model.encoder_end(memory) if pre else memory
        shifted = [torch.cat([table[:1] * 0, table[x[:-1]]]) for x in target.unpack(target.tokens)]
        x = embedded(shifted)
        above = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        for layer in decoder:
            x = layer(x, memory, tgt_mask=above, memory_key_padding_mask=is_padding(source))
        x = model.decoder_end(x) if pre else x
        wanted = x[~is_padding(target)] @ model.token.weight.T
        assert_close(model(source, target), wanted, atol=1e-10, rtol=1e-10)


def test_seq2seq_is_torchs_lstm_over_reversed_sources():
    model, (source, target) = tiny("seq2seq"), pairs()
    c = model.config
    sides = []
    with torch.no_grad():
        for ours in (model.encoder, model.decoder):
            theirs = nn.LSTM(c.embedding, c.width, c.depth).double()
            order = torch.arange(4 * c.width).view(4, -1)[[0, 1, 3, 2]].flatten()  # in, forget, candidate, out
            for n, layer in enumerate(ours):
                getattr(theirs, f"weight_ih_l{n}").copy_(layer.input.weight[order])
                getattr(theirs, f"bias_ih_l{n}").copy_(layer.input.bias[order])
                getattr(theirs, f"weight_hh_l{n}").copy_(layer.recurrent.weight[order])
                getattr(theirs, f"bias_hh_l{n}").zero_()
            sides.append(theirs)
        wanted = []
        for words, written in zip(source.unpack(source.tokens), target.unpack(target.tokens), strict=True):
            # "c, b, a" and then the end token
            _, last = sides[0](model.source(torch.cat([words[:-1].flip(0), words[-1:]])))
            x, _ = sides[1](model.target(torch.cat([torch.tensor([END]), written[:-1]])), last)
            wanted.append(model.output(x))
        assert_close(model(source, target), torch.cat(wanted), atol=1e-10, rtol=1e-10)

#!/usr/bin/env python3
"""What a transformer is: attention in every layer, and nothing recurrent."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from regard import attend, load
from regard.layers.attention import HeadProjections, MultiHeadAttention
from regard.layers.blocks import FeedForward, PostNormBlock
from regard.layers.positions import sinusoids
from regard.layers.recurrent import Timeline
from regard.models.transformer import TRANSFORMER_SIZES, Transformer
from regard.reading.pretrained import find_model
from regard.visualise.view import pictures

from page import (
    attention,
    begin,
    claim,
    curves,
    heat,
    question,
    source,
    table,
    tell,
)

# %%
begin(
    "What is a transformer?",
    "A transformer is a network which handles all words of a text at once: "
    "each word gathers from all others what it needs, by attention, instead "
    "of waiting until what stands before it was read.",
    "It is one block many times over: several attentions side by side, then "
    "a small network which works on each place by itself, and both only add "
    "to what is there already.",
    "Since attention knows no order, every place is marked by a pattern of "
    "waves, which is added to the word that stands there.",
)

# %%
tell(
    """
    ## From one after the other to all at once

    A recurrent network reads a word after the one before. Whatever the
    machine, these steps wait for one another, and what the first word has
    to tell the last one goes through all of them. In a layer of
    self-attention, queries, keys and values are made of the same text, so
    that every word looks at every other in one step. That is table 1 of
    Vaswani et al. (2017), counted here on regard's own layers.
    """
)

# %%
lengths = [10, 100, 1000]
waits = [len(Timeline(torch.tensor([n])).sizes) for n in lengths]
layer = MultiHeadAttention(16, 1)


def reach(length: int) -> int:
    """Count places which tell the last one something in one layer."""
    x = torch.randn(1, length, 16, requires_grad=True)
    layer(x)[0, -1].sum().backward()
    assert x.grad is not None
    return int((x.grad[0].abs().sum(-1) > 0).sum())


reached = [reach(n) for n in lengths]

# %%
table(
    "What one layer does with a text.",
    [
        "words",
        "steps of a recurrent layer which wait for one another",
        "places which the last word sees at once",
    ],
    [
        [n, steps, seen]
        for n, steps, seen in zip(lengths, waits, reached, strict=True)
    ],
)
claim(
    f"A text of {lengths[-1]:,} words takes a recurrent layer {waits[-1]:,} "
    "steps, one after the other. After a single layer of self-attention its "
    f"last word has heard from all {reached[-1]:,} places.",
    waits == lengths and reached == lengths,
)

# %%
tell(
    r"""
    ## Several heads

    A word may need several things at once: its subject, its object, the
    word before. One attention gives one mixture. So the Transformer has
    $h$ of them side by side, each with projections of its own into a
    narrower space (section 3.2.2):

    $$\mathrm{MultiHead}(Q, K, V) =
    \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h) W^O$$

    $$\mathrm{head}_i = \mathrm{Attention}(Q W_i^Q, K W_i^K, V W_i^V)$$

    "With a single attention head, averaging inhibits this."

    In regard all $W_i^Q$, $W_i^K$ and $W_i^V$ are one matrix, since one
    product is faster than many; heads are cut out of what it gives.
    """
)
source(
    HeadProjections.split,
    HeadProjections.project,
    HeadProjections.merge,
    MultiHeadAttention.forward,
)

# %%
torch.manual_seed(1)
width, heads = 12, 3
several = MultiHeadAttention(width, heads, bias=False)
x = torch.randn(1, 5, width)
WQ, WK, WV = (
    part.view(heads, width // heads, width)
    for part in several.projection.weight.chunk(3)
)
one_by_one = torch.cat(
    [
        attend(*((x @ W[i].T)[:, None] for W in (WQ, WK, WV)))[:, 0]
        for i in range(heads)
    ],
    -1,
)
off = (several(x) - one_by_one @ several.output.weight.T).abs().max().item()
wide = 512  # d_model of the paper's base model
counts = {
    h: sum(
        w.numel() for w in MultiHeadAttention(wide, h, bias=False).parameters()
    )
    for h in (1, 8, 64)
}

# %%
claim(
    f"Head by head, as the formula says, gives the same to {off:.0e}.",
    off < 1e-6,
)
claim(
    "More heads cost no more parameters, for each is so much narrower: at "
    f"$d_{{model}} = {wide}$ there are "
    + ", ".join(f"{n:,} with {h}" for h, n in counts.items())
    + ".",
    len(set(counts.values())) == 1,
)

# %%
tell(
    r"""
    ## Where a word stands

    Attention sees a set; the order has to be added. Each place gets a
    vector of sines and cosines of many wavelengths, as wide as the
    embedding of a word, and the two are summed (section 3.5):

    $$PE_{(pos, 2i)} = \sin(pos / 10000^{2i/d_{model}})$$

    $$PE_{(pos, 2i+1)} = \cos(pos / 10000^{2i/d_{model}})$$
    """
)
source(sinusoids)

# %%
places, width = torch.arange(64), 64
encoded = sinusoids(places, width)
shown = [0, 8, 16, 24]
products = encoded @ encoded.T
by_distance = [products.diagonal(n) for n in range(33)]
spread = max(float(own.max() - own.min()) for own in by_distance)

step = 5
angles = step * 10000.0 ** (-torch.arange(0, width, 2) / width)
turn = torch.block_diag(
    *(torch.tensor([[a.cos(), a.sin()], [-a.sin(), a.cos()]]) for a in angles)
)
turned = float((encoded[:-step] @ turn.T - encoded[step:]).abs().max())

# %%
curves(
    "Four of the waves: the further back in the vector, the longer.",
    "place",
    "value",
    places.tolist(),
    {f"number {n}": encoded[:, n].tolist() for n in shown},
    prepare=lambda axes: axes.set(ylim=(-1.1, 1.6)),
)
curves(
    "How alike two places are, by their distance: the dot product of their "
    "vectors.",
    "distance",
    "dot product",
    list(range(33)),
    {"dot product": [float(own.mean()) for own in by_distance]},
)
claim(
    "The dot product tells the distance alone: it is the same wherever the "
    f"two places are, to {spread:.0e}. It falls from "
    f"{by_distance[0].mean():.0f} at one place to "
    f"{by_distance[10].mean():.0f} at a distance of ten.",
    spread < 1e-3 and bool(by_distance[10].mean() < by_distance[0].mean()),
)
claim(
    "And to go on by a fixed number of places is one linear map for all of "
    'them, a turn of each pair ("we hypothesized it would allow the model '
    'to easily learn to attend by relative positions"): it takes every '
    f"place to the one {step} further on, to {turned:.0e}.",
    turned < 1e-4,
)

# %%
tell(
    r"""
    ## The block

    After attention comes a small network which works on each place by
    itself (section 3.3, equation 2):

    $$\mathrm{FFN}(x) = \max(0, x W_1 + b_1) W_2 + b_2$$

    Both are wrapped in the same way (section 3.1): what they give is
    *added* to what came in, and the sum is brought to mean zero and
    variance one,

    $$\mathrm{LayerNorm}(x + \mathrm{Sublayer}(x))$$

    The sum is a road on which every layer's input, and every gradient, may
    pass through as it is. A transformer is a stack of such blocks.
    """
)
source(FeedForward, PostNormBlock)

# %%
PUBLISHED = {"base": 65e6, "big": 213e6}  # parameters, table 3 of the paper


def count(module: nn.Module) -> int:
    """Count the parameters of a module."""
    return sum(weight.numel() for weight in module.parameters())


with torch.device("meta"):  # shapes without numbers: nothing is stored
    models = {name: Transformer(TRANSFORMER_SIZES[name]) for name in PUBLISHED}
base = models["base"]
inside = base.encoder[0]
totals = {name: count(model) for name, model in models.items()}

# %%
table(
    "Where the parameters of the paper's base model are.",
    ["part", "parameters"],
    [
        ["embedding, shared with the output", count(base.token)],
        ["encoder", count(base.encoder)],
        ["of it, attention of one block", count(inside.attention)],
        ["of it, feed-forward of one block", count(inside.feed_forward)],
        ["decoder", count(base.decoder)],
        ["all", totals["base"]],
    ],
)
claim(
    f"Base and big model have {totals['base'] / 1e6:.0f} and "
    f"{totals['big'] / 1e6:.0f} million parameters here; table 3 gives "
    f"{PUBLISHED['base'] / 1e6:.0f} and {PUBLISHED['big'] / 1e6:.0f}, for a "
    f"vocabulary of *about* {base.config.vocabulary:,} (section 5.1). The "
    "small network of a block holds "
    f"{count(inside.feed_forward) / count(inside):.0%} of it, twice as much "
    "as attention.",
    all(abs(totals[n] / PUBLISHED[n] - 1) < 0.05 for n in PUBLISHED)
    and abs(count(inside.feed_forward) / count(inside.attention) - 2) < 0.01,
)

# %%
tell(
    """
    ## What heads and places are good for, tried

    A game for a stack of one block: given twelve random letters, every
    place has to say four others, the two before it and the two after it.
    The same network of the same width learns it four times: with one, two
    and four heads, and with four heads but without places.
    """
)

# %%
LETTERS, NEIGHBOURS, WIDTH = 12, (-2, -1, 1, 2), 64


class Neighbours(nn.Module):
    """One block which says the neighbours of each letter."""

    def __init__(self, heads: int, *, knows_places: bool):
        """Make the layers; one which knows places adds sinusoids."""
        super().__init__()
        self.knows_places = knows_places
        self.letter = nn.Embedding(LETTERS, WIDTH)
        nn.init.normal_(self.letter.weight, std=0.2)  # not above the waves
        self.block = PostNormBlock(
            MultiHeadAttention(WIDTH, heads, bias=False),
            FeedForward(WIDTH, 2 * WIDTH, torch.relu_),
            WIDTH,
            dropout=0.0,
            epsilon=1e-6,
        )
        self.output = nn.Linear(WIDTH, len(NEIGHBOURS) * LETTERS)

    def forward(self, letters: Tensor) -> Tensor:
        """Letters [B, T] -> scores of four neighbours [B, T, 4, V]."""
        x = self.letter(letters)
        if self.knows_places:
            x = x + sinusoids(torch.arange(letters.shape[1]), WIDTH)
        return self.output(self.block(x)).unflatten(-1, (-1, LETTERS))


def games(count: int, length: int = 12) -> tuple[Tensor, Tensor]:
    """Letters [B, T] and the neighbours of each, [B, T, 4]; 0 is none."""
    letters = torch.randint(1, LETTERS, (count, length))
    padded = pad(letters, (2, 2))
    return letters, torch.stack(
        [padded[:, n:][:, :length] for n in (0, 1, 3, 4)], -1
    )


def play(network: Neighbours, steps: int = 500) -> tuple[list[float], float]:
    """Train a network; its losses, and its share of right answers."""
    optimiser = torch.optim.Adam(network.parameters(), betas=(0.9, 0.98))
    losses = []
    for step in range(steps):
        rate = 0.004 * min(1, (step + 1) / 50) * (1 - step / steps)
        optimiser.param_groups[0]["lr"] = rate
        letters, neighbours = games(64)
        scores = network(letters)
        loss = cross_entropy(scores.flatten(0, 2), neighbours.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    letters, neighbours = games(500)
    right = network(letters).argmax(-1) == neighbours
    return losses, float(right.float().mean())


# %%
torch.set_num_threads(1)  # networks as small as these gain nothing from more
players, losses, right = {}, {}, {}
for name, heads, knows_places in (
    ("one head", 1, True),
    ("two heads", 2, True),
    ("four heads", 4, True),
    ("four heads, no places", 4, False),
):
    torch.manual_seed(1)
    players[name] = Neighbours(heads, knows_places=knows_places)
    losses[name], right[name] = play(players[name])
letters, _ = games(200)
record: list[Tensor] = []
four = players["four heads"]
four.block.attention.recorded = record
four(letters)
four.block.attention.recorded = None
shares = record[0].mean(0)  # [H, T, S]
distances = list(range(-4, 5))
by_head = torch.stack(
    [shares.diagonal(n, 1, 2).mean(-1) for n in distances], -1
)
centres = (by_head * torch.tensor(distances)).sum(-1) / by_head.sum(-1)

# %%
curves(
    "The loss of the four networks while they learn, in nats.",
    "step",
    "loss",
    list(range(0, 500, 20)),
    {
        name: torch.tensor(own).view(-1, 20).mean(1).tolist()
        for name, own in losses.items()
    },
)
table(
    "How many of the neighbours they name rightly in new games.",
    ["network", "right"],
    [[name, f"{share:.1%}"] for name, share in right.items()],
)
claim(
    "Without places a network can only guess: "
    f"{right['four heads, no places']:.0%}. One head must fetch four letters "
    f"in one mixture, which the rest of the block has to take apart: "
    f"{right['one head']:.0%}. Two heads of the same total width get "
    f"{right['two heads']:.0%}, four {right['four heads']:.0%}.",
    right["four heads, no places"] < 0.35
    and right["one head"] < right["two heads"] - 0.05
    and right["one head"] < right["four heads"] - 0.05
    and right["four heads"] > 0.95,
)
heat(
    "How much each of the four heads looks at each distance, on average.",
    by_head.detach(),
    [f"head {n}" for n in range(4)],
    [f"{n:+d}" if n else "self" for n in distances],
    corner="head, distance",
)
claim(
    "They did not share out the work as one would have drawn it, a head for "
    "each distance. Each looks at a stretch of places, on average from "
    f"{centres.min():+.1f} to {centres.max():+.1f} places away, and mixes "
    "them in proportions of its own: from four different mixtures four "
    "letters can be told apart.",
    bool(centres.max() - centres.min() > 1),
)

# %%
tell(
    """
    ## A large one at work

    MiniLM is a transformer of six blocks with twelve heads each, which was
    trained on much text by others. This is what it does with a sentence in
    which *it* may be one of two things.
    """
)

# %%
reader = load(find_model("minilm"))
sentence = "The animal didn't cross the street because it was too {}."
tired, wide_one = pictures(
    reader, [sentence.format("tired"), sentence.format("wide")]
)
words = tired.maps[0].keys
it, animal, street = (words.index(w) for w in ("it", "animal", "street"))
weights = torch.stack([torch.tensor(own.weights) for own in tired.maps])
best = weights[:, :, it, animal].flatten().argmax().item()
block, head = divmod(int(best), weights.shape[1])
on_animal, on_street = weights[block, head, it, [animal, street]].tolist()
other = torch.tensor(wide_one.maps[block].weights)[head, it]
before = weights[..., 1:, :].diagonal(0, 2, 3).mean(-1)  # [layers, H]
backward = divmod(int(before.argmax()), before.shape[1])

# %%
attention(
    "Every head of every layer of MiniLM, for two sentences",
    [tired, wide_one],
)
claim(
    f"Head {backward[1]} of layer {backward[0]} does one thing: it looks at "
    f"the word before, with a share of {before.max():.1%} on average.",
    float(before.max()) > 0.95,
)
claim(
    f"In head {head} of layer {block}, *it* gives {on_animal:.0%} to "
    f"*animal* and {on_street:.0%} to *street*. It looks as if it "
    "understood. But put *wide* in place of *tired*, so that *it* is the "
    f"street, and *animal* still has {other[animal]:.0%}, *street* "
    f"{other[street]:.0%}. A picture shows what was looked at, not what was "
    "understood.",
    on_animal > 0.5 > on_street and bool(other[animal] > other[street]),
)

# %%
torch.manual_seed(1)
stack = nn.Sequential(four.block, players["two heads"].block)
x, shuffle = torch.randn(1, 12, WIDTH), torch.randperm(12)
with torch.no_grad():
    moved = float((stack(x[:, shuffle]) - stack(x)[:, shuffle]).abs().max())
sequential = len(base.encoder)

# %%
question(
    "How many steps wait for one another when a text of a thousand words is "
    "read?",
    f"In a recurrent network {waits[-1]:,} of each layer, in the base model "
    f"{sequential} in all, one a block, however long the text is.",
    waits[-1] == lengths[-1] and sequential == 6,
)
question(
    "What does a transformer without places make of a shuffled sentence?",
    "The same, shuffled: every word gets what it would have got anyway. "
    f"Through two blocks the difference is at most {moved:.0e}.",
    moved < 1e-4,
)
question(
    "Why several narrow heads, and not one wide one?",
    "Because one head gives one mixture. In the game one head named "
    f"{right['one head']:.0%} of the neighbours, two "
    f"{right['two heads']:.0%}, four {right['four heads']:.0%}, all with the "
    f"same {count(players['one head']):,} parameters.",
    right["one head"] < min(right["two heads"], right["four heads"])
    and len({count(own) for own in players.values()}) == 1,
)

#!/usr/bin/env python3
"""How to create an encoder-decoder transformer: by hand, and then trained."""

import math
import random

import torch
from torch import Tensor, nn

from regard import Packed, Translator, recording
from regard.attention.masks import Mask, causal, documents
from regard.data.dates import dates
from regard.evaluate.scores import exact_match
from regard.layers.attention import HeadProjections
from regard.layers.positions import sinusoids
from regard.models.transformer import (
    DecoderBlock,
    Transformer,
    TransformerConfig,
)
from regard.objectives.loss import smoothed_cross_entropy
from regard.objectives.translation import Translation
from regard.text.tokenizer import Tokenizer
from regard.training.plan import Plan
from regard.training.schedules import noam
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
    "How is an encoder-decoder transformer made?",
    "An encoder, a stack of blocks with self-attention, makes of each word "
    "of the source a vector which knows the words around it.",
    "A decoder writes the target word after word, and each of its blocks "
    "looks twice: at the words which are written so far and no further, and "
    "at the vectors of the encoder.",
    "It is trained on whole sentences at once, because then all words before "
    "each one are known, and used word by word.",
)

# %%
tell(
    r"""
    ## The decoder's block

    The encoder's block is that of the
    [third lesson](03_transformer.py). The decoder's has one more part
    (Vaswani et al. 2017, section 3.1 and figure 1): between self-attention
    and feed-forward stands an attention whose queries come from the decoder
    and whose keys and values come from the encoder (section 3.2.3).
    """
)
source(DecoderBlock.forward)
tell("Around the two stacks stand one embedding and the places:")
source(Transformer.encode, Transformer.hidden)

# %%
tell(
    """
    ## The same by hand

    A whole transformer, written down once more with nothing but products
    of matrices, for one sentence. It takes the weights of regard's model,
    so that both must give the same.
    """
)


# %%
def look(layer: HeadProjections, x: Tensor, at: Tensor, may: Tensor) -> Tensor:
    """Let places x [T, D] attend to places [S, D] where they may, [T, S]."""
    WQ, WK, WV = layer.projection.weight.chunk(3)
    Q, K, V = (
        y.unflatten(1, (layer.heads, -1)).transpose(0, 1)  # [H, T, K]
        for y in (x @ WQ.T, at @ WK.T, at @ WV.T)
    )
    scores = Q @ K.mT / math.sqrt(K.shape[-1])
    shares = scores.masked_fill(~may, -math.inf).softmax(-1)
    return (shares @ V).transpose(0, 1).flatten(1) @ layer.output.weight.T


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """Bring each place to mean zero and variance one, then scale it."""
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + layer.eps).sqrt() * layer.weight + layer.bias


def think(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply equation 2."""
    W1, W2 = layer.expand, layer.contract
    inner = (x @ W1.weight.T + W1.bias).clamp(min=0)
    return inner @ W2.weight.T + W2.bias


def transformer(model: Transformer, source: Tensor, target: Tensor) -> Tensor:
    """Ids of a source [S] and its target [T] -> scores [T, V]."""
    width = model.config.width

    def placed(embedded: Tensor) -> Tensor:
        """Add the places."""
        return embedded + sinusoids(torch.arange(len(embedded)), width)

    x = placed(model.token.weight[source] * math.sqrt(width))
    everything = torch.ones(len(x), len(x), dtype=torch.bool)
    for block in model.encoder:
        x = norm(
            block.attention_norm, x + look(block.attention, x, x, everything)
        )
        x = norm(block.feed_forward_norm, x + think(block.feed_forward, x))
    shifted = model.token.weight[target].roll(1, 0) * math.sqrt(width)
    shifted[0] = 0
    y, past = placed(shifted), torch.ones(len(target), len(target)).tril() > 0
    whole = torch.ones(len(target), len(source), dtype=torch.bool)
    for block in model.decoder:
        y = norm(block.attention_norm, y + look(block.attention, y, y, past))
        y = norm(
            block.source_norm, y + look(block.source_attention, y, x, whole)
        )
        y = norm(block.feed_forward_norm, y + think(block.feed_forward, y))
    return y @ model.output.weight.T


# %%
torch.manual_seed(1)
small = TransformerConfig(
    vocabulary=50, width=32, depth=2, heads=4, hidden=64, dropout=0.0
)
model = Transformer(small).eval()
reading, writing = torch.randint(50, (2, 9))
ours = transformer(model, reading, writing)
theirs = model(Packed.of([reading]), Packed.of([writing]))
off = (ours - theirs).abs().max().item()

# %%
claim(
    f"The scores of all {len(writing)} words differ from regard's by at most "
    f"{off:.0e}.",
    off < 1e-4,
)

# %%
tell(
    """
    ## No word sees itself

    While it is trained, the decoder is given the whole target. Two things
    keep it from copying the word which it is to predict. The target is
    *shifted right*, so that at each place stands the word before; and the
    mask of its self-attention lets each place see the places before it and
    itself only.

    In regard a mask is a question, asked of a query $i$ and a key $j$. Here
    two targets travel in one row, end to end, which spares all padding: a
    place sees the past of its own sentence.
    """
)

# %%
words = ["the", "cat", "sleeps", "END", "it", "purrs", "END"]
read = ["(zero)", *words[:3], "(zero)", *words[4:6]]
lengths = torch.tensor([4, 3])
mask = causal() & documents(lengths)


def seen(mask: Mask, places: int) -> Tensor:
    """Ask a mask about all queries and keys."""
    return mask.dense(1, 1, places, places).view(places, places)


# %%
table(
    "What the decoder reads, and what it has to say.",
    ["reads", "has to say"],
    list(zip(read, words, strict=True)),
)
heat(
    "Which places (across) each place (down) may see: dark is yes.",
    seen(mask, len(words)),
    read,
    read,
    form=".0f",
    corner="reads, may see",
)

# %%
target = torch.randint(50, (9,))
changed = target.clone()
changed[5] = (target[5] + 1) % 50
before, after = (
    model(Packed.of([reading]), Packed.of([own])) for own in (target, changed)
)
moves = (after - before).detach().abs().amax(-1)
pairs = [torch.randint(50, (n,)) for n in (9, 5, 7)]
together = Packed.of(pairs)
alone = torch.cat([model(Packed.of([x]), Packed.of([x])) for x in pairs])
apart = (model(together, together) - alone).abs().max().item()

# %%
claim(
    "Change word six of a target of nine words: the scores of the first six "
    f"words move by {moves[:6].max():g}, those of the others by up to "
    f"{moves[6:].max():.2f}.",
    float(moves[:6].max()) == 0 < float(moves[6:].min()),
)
claim(
    "Three sentences in one row have the scores which each has alone, to "
    f"{apart:.0e}.",
    apart < 1e-4,
)

# %%
tell(
    r"""
    ## What is minimised, and how fast

    The loss is the cross-entropy of the right word at every place,
    $-\sum_t \log p(y_t \mid y_{<t}, x)$. The paper smooths the labels
    (section 5.4): the right word is to have $1 - \epsilon$, the others
    share $\epsilon$, so that the network does not grow overconfident.

    Its learning rate (section 5.3, equation 3) rises in a straight line and
    then falls with the root of the number of steps:

    $$lrate = d_{model}^{-0.5} \cdot \min(step^{-0.5},
    step \cdot warmup^{-1.5})$$
    """
)
source(noam)

# %%
epsilon, vocabulary = 0.1, 50
hidden, right_word = torch.randn(1, 32), torch.tensor([7])
wanted = torch.full((vocabulary,), epsilon / (vocabulary - 1))
wanted[7] = 1 - epsilon
logs = model.output(hidden)[0].log_softmax(-1)
by_hand = (wanted * (wanted.log() - logs)).sum()
smoothed, _ = smoothed_cross_entropy(
    hidden, model.output, right_word, smoothing=epsilon
)
smoothing_off = (smoothed - by_hand).abs().item()
paper = Plan(warmup=4000)  # section 5.3
steps = list(range(100, 20001, 100))
rates = [noam(step, paper, 512) for step in steps]
peak = steps[rates.index(max(rates))]

# %%
curves(
    "The learning rate of the paper's base model.",
    "step",
    "learning rate",
    steps,
    {"learning rate": rates},
)
claim(
    f"It is highest at step {peak:,}, with {max(rates):.1e}. Smoothed by "
    f"{epsilon}, regard's loss is the formula's to {smoothing_off:.1g}.",
    peak == paper.warmup and smoothing_off < 1e-5,
)

# %%
tell(
    """
    ## Learning to read dates

    Real input: dates as people write them in four countries, made from the
    CLDR's data which Babel has, to be written as ISO 8601 wants them. The
    days which are tested are none of those which are learned. The model
    reads and writes letter by letter.
    """
)

# %%
LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR")
learned = list(dates("train", 30000, seed=1, locales=LOCALES))
tested = list(dates("test", 300, seed=1, locales=LOCALES))
tokenizer = Tokenizer.train(
    (side for pair in learned for side in pair),
    kind="characters",
    vocabulary=None,
)
torch.manual_seed(1)
torch.set_num_threads(1)  # networks as small as these gain nothing from more
model = Transformer(
    TransformerConfig(
        vocabulary=tokenizer.size,
        width=64,
        depth=2,
        heads=4,
        hidden=256,
        dropout=0.0,
    )
)
translator = Translator(model, tokenizer, tokenizer)


def train(steps: int, rate: float = 0.005) -> list[float]:
    """Train the model; the loss a letter at every step."""
    chance = random.Random(1)
    objective = Translation(model)
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98))
    losses = []
    for step in range(steps):
        factor = min(1, (step + 1) / 60) * (1 - step / steps)
        optimiser.param_groups[0]["lr"] = rate * factor
        sides = zip(*chance.sample(learned, 32), strict=True)
        sources, targets = (translator.pack(x, tokenizer) for x in sides)
        loss = objective(sources, targets)
        mean = loss.total / loss.tokens
        optimiser.zero_grad()
        mean.backward()
        optimiser.step()
        losses.append(mean.item())
    return losses


losses = train(500)
sources = [source for source, _ in tested]
targets = [target for _, target in tested]
outputs = translator.translate(sources, beams=1, length_penalty=0.0)
exact = exact_match(outputs, targets)

# %%
curves(
    "The loss while it learns.",
    "step",
    "nats a letter",
    list(range(0, 500, 10)),
    {"loss": torch.tensor(losses).view(-1, 10).mean(1).tolist()},
)
table(
    "Dates which it had not seen.",
    ["as people write it", "the model", "is"],
    [
        [source, output, "right" if output == target else target]
        for source, output, target in list(
            zip(sources, outputs, targets, strict=True)
        )[:8]
    ],
)
claim(
    f"Of {len(tested)} dates {exact:.1f} % are read without a mistake. That "
    "includes what is written with the month first in one country and the "
    "day first in another.",
    exact > 80,
)

# %%
tell(
    """
    ## Writing, letter by letter

    In use there is no target. The encoder reads the source once; then the
    decoder is asked for one letter at a time, and is given its own answer
    as the next place. What it has computed for the places before it keeps:
    keys and values do not change, since no place sees what comes later.
    """
)
source(Transformer.step)

# %%
BEAMS = 5
read_well = [
    pair
    for pair, output in zip(tested, outputs, strict=True)
    if output == pair[1]
]
date, meant = next(p for p in read_well if p[0].startswith("en_GB"))
packed = translator.pack([date], tokenizer)
model.eval()
rows, ids, cached = [], [], []
with torch.no_grad():
    state, last = model.start(packed), None
    while not ids or ids[-1] != tokenizer.end:
        scores, state = model.step(last, state)
        chances, best = scores[0].softmax(-1).topk(3)
        told = [
            f"{piece} {chance:.1%}"
            for piece, chance in zip(
                tokenizer.pieces(best.tolist()), chances.tolist(), strict=True
            )
        ]
        rows.append(["".join(tokenizer.pieces(ids)) or "(nothing)", *told])
        ids.append(int(best[0]))
        cached.append(scores[0])
        last = best[:1]
    at_once = model(packed, Packed.of([ids]))
    as_by_hand = transformer(model, packed.tokens, torch.tensor(ids))
kept = (torch.stack(cached) - at_once).abs().max().item()
trained_off = (as_by_hand - at_once).abs().max().item()
written = tokenizer.decode(ids[:-1])
beams = translator.search(sources, beams=BEAMS, length_penalty=0.0)
greedy = translator.score(sources, outputs)
gains = [
    found[0].log_probability - own
    for found, own in zip(beams, greedy, strict=True)
]
better = [gain for gain in gains if gain > 1e-3]
worse = [gain for gain in gains if gain < -1e-3]

# %%
table(
    f"How '{date}' is written: the three most probable letters at each step.",
    ["written so far", "first", "second", "third"],
    rows,
)
claim(
    f"The result is {written}. Step by step with what is kept, and all at "
    f"once as in training, the scores are the same to {kept:.0e}; and the "
    f"transformer which was written by hand above has them too, to "
    f"{trained_off:.0e}.",
    written == meant and kept < 1e-4 and trained_off < 1e-3,
)
claim(
    "Taking the best letter at each step is *greedy*. A *beam search* keeps "
    f"several beginnings open, here {BEAMS}, and may find a more probable "
    "whole (section 6.1). A small model which is this sure of itself rarely "
    f"needs it: of {len(tested)} dates {len(better)} came out more probable "
    f"and {len(worse)} less.",
    len(worse) <= len(better),
)

# %%
tell(
    """
    ## What it looks at

    The second attention of the decoder's last block, as a mean over its
    heads: a row is a letter which is written, a column one which is read.
    """
)

# %%
long = "en_GB Thursday, 27 August 1959"
with recording(translator) as maps:
    translator.score([long], ["1959-08-27"])
looked = maps["decoder.1.source_attention"][0].mean(0)
across = tokenizer.pieces(translator.pack([long], tokenizer).tokens.tolist())
down = tokenizer.pieces(
    translator.pack(["1959-08-27"], tokenizer).tokens.tolist()
)
parts = {"year": "1959", "month": "August", "day": "27"}
spans = {
    name: slice(long.index(text), long.index(text) + len(text))
    for name, text in parts.items()
}
places = {"year": slice(0, 4), "month": slice(5, 7), "day": slice(8, 10)}
held = torch.tensor(
    [
        [float(looked[place, span].sum(-1).mean()) for span in spans.values()]
        for place in places.values()
    ]
)

# %%
heat(
    "How much of each letter read stands in each letter written.",
    looked,
    down,
    across,
    corner="written, read",
)
heat(
    "The same, summed over the parts of the date.",
    held,
    [f"digits of the {name}" for name in places],
    [f"the {name}" for name in spans],
    corner="written, read",
)
claim(
    "Year, month and day stand in another order than they are written in. "
    "The digits of each look most at their own part: "
    f"{held[0, 0]:.0%}, {held[1, 1]:.0%} and {held[2, 2]:.0%} of their "
    "shares, and the rest mostly at what is around it.",
    held.argmax(1).tolist() == [0, 1, 2],
)
attention(
    "All attention of the model on four dates, to point at",
    pictures(translator, [long, date, *sources[:2]]),
)

# %%
calls = []
hook = model.encoder[0].register_forward_hook(lambda *_: calls.append(1))
translator.translate([date], beams=1)
hook.remove()
x = torch.randn(1, 6, 64)
y = x.clone()
y[0, 5] += 1
own = model.decoder[0].attention
with torch.no_grad():
    leaks = {
        name: float((own(y, mask=mask) - own(x, mask=mask))[0, :5].abs().max())
        for name, mask in (("with", causal()), ("without", None))
    }
sizes = {
    name: sum(w.numel() for w in stack.parameters())
    for name, stack in (("encoder", model.encoder), ("decoder", model.decoder))
}
extra = 4 * 64 * 64 + 2 * 64  # four projections, and a norm

# %%
question(
    "How often is the source read while a translation is written?",
    f"The encoder ran {len(calls)} time for {len(ids)} steps of the decoder. "
    "Its keys and values for each block are made once and kept.",
    len(calls) == 1 < len(ids),
)
question(
    "What would go wrong without the mask of the decoder's self-attention?",
    "Each place would see the word which it has to predict, in the place "
    "after it. Change the last of six places: with the mask those before "
    f"it move by {leaks['with']:g}, without by {leaks['without']:.2f}. It "
    "would learn to copy, and know nothing once there is nothing to copy.",
    leaks["with"] == 0 < leaks["without"],
)
question(
    "Why does the decoder have more parameters than the encoder?",
    f"It has {sizes['decoder']:,}, the encoder {sizes['encoder']:,}. The "
    f"difference is its second attention: {extra:,} numbers in each of "
    f"{model.config.depth} blocks, for four projections and a norm.",
    sizes["decoder"] - sizes["encoder"] == model.config.depth * extra,
)

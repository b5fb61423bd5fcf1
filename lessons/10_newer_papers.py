#!/usr/bin/env python3
"""Four newer papers: what each asks, and what it answers."""

import math
from itertools import permutations
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from regard import attend, kernel
from regard.attention.masks import (
    Fixed,
    Strided,
    banded,
    causal,
    fixed,
    permuted,
    strided,
)
from regard.attention.packing import Packed
from regard.data.corpus import Corpus
from regard.data.loading import Cursor
from regard.data.text_store import TextStore
from regard.data.windows import Segments
from regard.layers.attention import RelativeAttention
from regard.models.albert import ALBERT, ALBERT_SIZES, ALBERTConfig
from regard.models.bert import BERT, BERT_SIZES, BERTConfig
from regard.models.sparse_transformer import (
    SPARSE_TRANSFORMER_SIZES,
    SparseTransformer,
)
from regard.models.transformer_xl import TransformerXL, TransformerXLConfig
from regard.models.xlnet import XLNet, XLNetConfig
from regard.objectives.segments import NextTokenOfSegments
from regard.text.tokenizer import Tokenizer
from regard.training.optimisers import adamw, scaled
from regard.visualise.patterns import draw_patterns, published

from page import (
    ROOT,
    bars,
    begin,
    claim,
    curves,
    figure,
    heat,
    question,
    source,
    table,
    tell,
)

# %%
begin(
    "What do the newer papers add?",
    "The Sparse Transformer lets each position look at a few others only, so "
    "chosen that all can still be reached, and Transformer-XL remembers what "
    "it read before, so that a text may be as long as one likes.",
    "XLNet reads words in any order, and so learns from both sides as BERT "
    "does while it guesses one word after the other as GPT does.",
    "ALBERT uses the same layer again and again and gives words short "
    "vectors, which leaves a small share of the numbers of a BERT of the same "
    "shape, and all of its work.",
)

# %%
tell(
    """
    ## Sparse Transformer

    **Its question** (Child et al. 2019): every position is compared with all
    before it, so twice the length costs four times as much. Must that be?

    **Its answer**: no. Let a position look at its near neighbourhood, and at
    some far places which sum up what lies between. With $n$ positions and a
    stride of $\\sqrt{n}$, each of these looks is of about $\\sqrt{n}$
    others, and two of them, one after the other, reach everything, as
    section 4.2 says.
    """
)

# %%
STRIDE = 6
masks = published(STRIDE)


def allowed(mask, length, heads=2):
    """Say what the heads of a mask may see, [H or one, T, T]."""
    return mask.dense(1, heads, length, length).reshape(-1, length, length)


# %%
figure(
    draw_patterns(masks, positions=STRIDE**2, stride=STRIDE),
    "As figure 3 of the paper, drawn from the library's masks: above what one "
    "position sees, with the text cut into rows of one stride; below all "
    "positions, one of them framed.",
    "Four patterns. Dense: a full triangle. Strided: a band along the "
    "diagonal and every sixth place before. Fixed: blocks along the diagonal "
    "and the last column of each block. Banded: the band alone.",
    ["pattern", "head", "cells which are computed"],
    [
        [name, head, int(cells.sum())]
        for name, mask in masks.items()
        for head, cells in enumerate(allowed(mask, STRIDE**2))
    ],
)
source(Strided, Fixed)

# %%
near, far = (
    allowed(mask, STRIDE**2)[0].float()
    for mask in (banded(STRIDE), strided(STRIDE))
)
everything = allowed(causal(), STRIDE**2)[0]
at_once = (near + far) > 0
in_two = (near @ far) > 0

# %%
claim(
    "One layer with the near pattern and one with the far one: together each "
    f"of {STRIDE**2} positions looks at {int(at_once.sum())} of "
    f"{int(everything.sum())} pairs. But from a place which is near to one "
    f"that is far, {int((in_two & everything).sum())} of them are reached in "
    "two steps: all.",
    bool((in_two & everything).equal(everything))
    and int(at_once.sum()) < int(everything.sum()),
)

# %%
LENGTHS = [64, 144, 256, 576, 1024, 2304]


def cells(mask, length):
    """Count the pairs which a mask allows."""
    return int(mask.dense(1, 1, length, length).sum())


counted = {"dense": [], "near": [], "far": []}
for length in LENGTHS:
    root = math.isqrt(length)
    counted["dense"].append(cells(causal(), length))
    counted["near"].append(cells(banded(root), length))
    counted["far"].append(cells(strided(root), length))

# %%
curves(
    "Pairs which are compared, by the length of the text; both axes grow by "
    "factors.",
    "positions",
    "pairs",
    LENGTHS,
    counted,
    prepare=lambda axes: axes.set(xscale="log", yscale="log"),
)

# %%
growth = {
    name: math.log(own[-1] / own[0]) / math.log(LENGTHS[-1] / LENGTHS[0])
    for name, own in counted.items()
}

torch.manual_seed(10)
LONG, HEADS, WIDTH = 4096, 2, 32
query, key, value = torch.randn(3, 1, HEADS, LONG, WIDTH).unbind()
root = math.isqrt(LONG)
patterns = {"dense": causal(), "near": banded(root), "far": strided(root)}
times, off = {}, {}
for name, mask in patterns.items():
    runs = []
    for _ in range(3):
        begun = perf_counter()
        quick = attend(query, key, value, mask=mask)
        runs.append(perf_counter() - begun)
    times[name] = 1000 * min(runs)
with kernel("reference"):
    plain = attend(query, key, value, mask=patterns["far"])
far_off = float(
    (attend(query, key, value, mask=patterns["far"]) - plain).abs().max()
)

# %%
bars(
    "One attention over a long text, in milliseconds on this machine",
    "milliseconds",
    times,
)
claim(
    "From the first length to the last the dense pairs grow as "
    f"$n^{{{growth['dense']:.2f}}}$, the near ones as "
    f"$n^{{{growth['near']:.2f}}}$ and the far ones as "
    f"$n^{{{growth['far']:.2f}}}$: the $n \\sqrt{{n}}$ of the paper. With "
    f"{LONG:,} positions, dense attention takes "
    f"{times['dense'] / times['far']:.0f} times as long as the far pattern, "
    f"which gives the same as the plain formula to {far_off:.0e}: what is "
    "not allowed is never computed.",
    1.9 < growth["dense"] < 2.05
    and all(1.4 < growth[name] < 1.6 for name in ("near", "far"))
    and times["dense"] > 1.5 * times["far"]
    and far_off < 1e-4,
)
source(SparseTransformer.masks)

# %%
tell(
    """
    ## Transformer-XL

    **Its question** (Dai et al. 2019): a long text is cut into segments, and
    each is read as if nothing had come before. How could one remember?

    **Its answer**: keep what each layer held of the segment before, and let
    the next one look at it (section 3.2). For that, positions must be told
    by how far apart they are, not by where they stand in their segment, for
    otherwise two words would stand at the same place (section 3.3).
    """
)

# %%
SEGMENT, SEGMENTS = 8, 6


def reader_of(depth, memory):
    """Make a Transformer-XL which has learnt nothing."""
    torch.manual_seed(depth)
    sizes = {"width": 32, "heads": 2, "hidden": 64, "dropout": 0.0}
    config = TransformerXLConfig(32, depth=depth, memory=memory, **sizes)
    model = TransformerXL(config).eval().double()
    with torch.no_grad():  # its start is published for a width of 512
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
    return model


@torch.no_grad()
def last_state(model, tokens):
    """Read texts segment by segment, and give the last state, [B, D]."""
    memory, states = None, None
    for segment in tokens.split(SEGMENT, 1):
        states, memory = model.read(segment, memory)
    return states[:, -1]


def reached(model):
    """Say which places of the text the last state depends on, [T]."""
    text = torch.arange(SEGMENT * SEGMENTS) % 31
    changed = text.repeat(len(text), 1)
    changed.fill_diagonal_(31)
    moved = last_state(model, changed) - last_state(model, text[None])
    return moved.norm(dim=1) > 1e-12  # more than rounding


DEPTHS = [1, 2, 3, 4]
reach = {
    "without memory": reached(reader_of(2, 0)),
    **{
        f"{depth} layer{'s' * (depth > 1)}": reached(reader_of(depth, SEGMENT))
        for depth in DEPTHS
    },
}
furthest = {name: int(own.sum()) - 1 for name, own in reach.items()}


def draw_reach():
    """Draw which places each model reaches from the last one."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 2.4), layout="constrained")
    axes = drawn.add_subplot()
    shades = torch.stack(list(reach.values())).float() * 0.7 + 0.1
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    back = np.arange(SEGMENT * SEGMENTS)[::-1]
    axes.set_xticks(
        range(0, len(back), 4), [f"{-number}" for number in back[::4]]
    )
    axes.set_yticks(range(len(reach)), list(reach))
    for border in range(SEGMENT, SEGMENT * SEGMENTS, SEGMENT):
        axes.axvline(border - 0.5, color="#c2410c", linewidth=1.5)
    axes.set_xlabel("places before the last one; lines part the segments")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return drawn


# %%
figure(
    draw_reach(),
    "Each word of the text is changed in turn: dark where the state of the "
    "last word notices.",
    "Rows of cells. Without memory the last segment alone is dark; each layer "
    "more makes one more segment dark.",
    ["model", "reaches back", "segments"],
    [
        [name, number, 1 + number // SEGMENT]
        for name, number in furthest.items()
    ],
)
claim(
    f"A segment has {SEGMENT} words, and as many are remembered. Without "
    f"memory the last word depends on the {furthest['without memory']} before "
    "it in its segment. With memory each layer looks one memory further back "
    "than the one below: "
    f"{', '.join(f'{furthest[name]}' for name in list(reach)[1:])}. That is "
    "the paper's $O(N \\times L)$, layers times length.",
    furthest["without memory"] == SEGMENT - 1
    and list(furthest.values())[1:]
    == [SEGMENT - 1 + depth * SEGMENT for depth in DEPTHS],
)

# %%
model = reader_of(3, SEGMENT)
text = torch.randint(32, (1, 2 * SEGMENT))
with torch.no_grad():
    whole, _ = model.read(text)
    first, memory = model.read(text[:, :SEGMENT])
    second, _ = model.read(text[:, SEGMENT:], memory)
    forgotten, _ = model.read(text[:, SEGMENT:])
same = float((whole[:, SEGMENT:] - second).abs().max())
other = float((whole[:, SEGMENT:] - forgotten).abs().max())

# %%
claim(
    "And it is the same as if the text had never been cut: two segments one "
    f"after the other differ from one of twice the length by {same:.0e}, "
    f"without memory by {other:.1f}. That can only be since a distance is the "
    "same wherever it is measured: the score of two words is made of what "
    "they are and of how far apart they stand.",
    same < 1e-4 < other,
)
source(RelativeAttention.forward)

# %%
tell(
    """
    ### What memory is good for

    A small one learns the letters of Romeo and Juliet, in short segments.
    Then it reads a part of the play which it has not seen, once with its
    memory and once without.
    """
)


# %%
PLAY = ROOT / "lessons" / "data" / "romeo_and_juliet.txt"
tokenizer = Tokenizer.train(
    PLAY.read_text(encoding="utf-8").splitlines(keepends=True),
    kind="characters",
    vocabulary=None,
    lowercase=True,
)
folder = Path(mkdtemp())
stores = {
    name: TextStore.build(
        folder / name, Corpus(str(PLAY), share=share).read(), tokenizer
    )
    for name, share in (("train", (0.0, 0.9)), ("held", (0.9, 1.0)))
}
LENGTH, STEPS = 16, 240
torch.manual_seed(10)
reader = TransformerXL(
    TransformerXLConfig(
        tokenizer.size,
        width=96,
        depth=2,
        heads=4,
        hidden=192,
        memory=3 * LENGTH,
        dropout=0.0,
    )
)
with torch.no_grad():  # its start is published for a width of 512
    for parameter in reader.parameters():
        if parameter.ndim > 1:
            parameter.mul_(2)
objective = NextTokenOfSegments(reader)
optimiser = adamw([scaled(objective.parameters())], 0.01, 0.99)
segments, memory = Segments(stores["train"], LENGTH, 40 * LENGTH), ()
for step, (item, _) in zip(
    range(1, STEPS + 1), segments.plan(Cursor()), strict=False
):
    batch = segments.batch(item)
    parts = (*batch.parts, memory) if batch.goes_on else batch.parts
    loss = objective(*parts)
    memory = loss.memory
    objective.zero_grad()
    (loss.total / loss.tokens).backward()
    torch.nn.utils.clip_grad_norm_(objective.parameters(), 0.25)
    for group in optimiser.param_groups:
        group["lr"] = 4e-3 * min(1, step / 20, 2.02 - 2 * step / STEPS)
    optimiser.step()
reader.eval()


@torch.no_grad()
def by_place(remembers):
    """Give the mean loss of each place of a segment, on unseen text."""
    held = Segments(stores["held"], LENGTH, 8 * LENGTH)
    costs, memory = [], None
    for item, after in held.plan(Cursor()):
        text = held.batch(item).text.tokens.view(held.lanes, -1)
        if text.shape[1] == LENGTH + 1:
            states, memory = reader.read(
                text[:, :-1], memory if remembers else None
            )
            flat = states.flatten(0, 1)
            nats = -reader.output.likelihood(flat, text[:, 1:].flatten())
            costs.append(nats.view(held.lanes, LENGTH).mean(0))
        if after.epoch:
            return torch.stack(costs).mean(0).tolist()


costs = {
    "with memory": by_place(True),
    "without": by_place(False),
}
means = {name: float(np.mean(own)) for name, own in costs.items()}

# %%
curves(
    "How surprised it is by each letter, by the letter's place in its segment",
    "place in the segment",
    "nats",
    list(range(1, LENGTH + 1)),
    costs,
)
claim(
    "Without memory the first letter of each segment comes from nowhere and "
    f"costs {costs['without'][0]:.2f} nats; with memory it costs "
    f"{costs['with memory'][0]:.2f}, as any other letter does. Over all "
    f"places it is {means['with memory']:.2f} instead of "
    f"{means['without']:.2f}.",
    costs["without"][0] > costs["with memory"][0] + 0.2
    and means["with memory"] < means["without"],
)

# %%
tell(
    """
    ## XLNet

    **Its question** (Yang et al. 2019): BERT sees both sides, but guesses
    hidden words as if they had nothing to do with each other, and reads masks
    which no real text has. GPT has neither problem, but sees one side.
    Can one have both?

    **Its answer**: guess one word after the other, as GPT does, but in an
    order which is drawn anew each time (section 2.2, equation 3). Then each
    word is guessed from all kinds of others, on both sides.
    """
)

# %%
WORDS = ["New", "York", "is", "a", "city"]
THREE = WORDS[:3]
turns = list(permutations(range(3)))

# %%
table(
    "All orders of three words, and from which others each is guessed",
    ["order", *THREE],
    [
        [
            " → ".join(THREE[place] for place in turn),
            *(
                ", ".join(
                    THREE[other]
                    for other in range(3)
                    if turn.index(other) < turn.index(place)
                )
                or "nothing"
                for place in range(3)
            ),
        ]
        for turn in turns
    ],
)

# %%
contexts = {
    frozenset(turn[: turn.index(place)]) for turn in turns for place in [0]
}

# %%
claim(
    f"In the {len(turns)} orders, *{THREE[0]}* is guessed from every set of "
    f"the other words there is, {len(contexts)} of them. The words stay in "
    "their places; only the order in which they are guessed changes.",
    len(turns) == math.factorial(3) and len(contexts) == 2**2,
)

# %%
tell(
    """
    A word which is guessed must know its place, or it could not tell *New*
    from *city*; and it must not know itself. A word which others look at must
    know itself. One vector cannot do both, so there are two **streams**
    (section 2.3): the content stream $h$, which sees itself, and the query
    stream $g$, which does not, and begins with the same vector $w$
    everywhere.
    """
)

# %%
order = torch.tensor([[3, 1, 4, 0, 2]])
streams = {
    name: permuted(order, sees_itself=sees).dense(1, 1, 5, 5)[0, 0]
    for name, sees in (("content", True), ("query", False))
}

# %%
heat(
    "The content stream: which word of the column each row may see, in the "
    "order *a → York → city → New → is*",
    streams["content"],
    WORDS,
    WORDS,
    form="g",
    corner="sees",
)
heat(
    "The query stream, in the same order: all but the word itself",
    streams["query"],
    WORDS,
    WORDS,
    form="g",
    corner="sees",
)
source(permuted, XLNet.read)

# %%
torch.manual_seed(10)
config = XLNetConfig(16, 32, 2, 2, 64, dropout=0.0, attention_dropout=0.0)
xlnet = XLNet(config).eval().double()
tokens = torch.arange(5)[None]
everywhere = torch.arange(5)[None]


@torch.no_grad()
def guessed_from(tokens):
    """Give the query stream at each of the five words, [T, D]."""
    found, _ = xlnet.read(
        tokens, torch.zeros_like(tokens), streams["query"][None], everywhere
    )
    return found[0]


before = guessed_from(tokens)
noticed = torch.zeros(5, 5)
for changed in range(5):
    others = tokens.clone()
    others[0, changed] = 9
    moved = (guessed_from(others) - before).norm(dim=1)
    noticed[:, changed] = (moved > 1e-12).float()

# %%
heat(
    "A word is changed: whose guess notices? Rows are guesses, columns are "
    "words which were changed.",
    noticed,
    WORDS,
    WORDS,
    form="g",
    corner="guess, changed",
)
claim(
    "No guess depends on the word which it has to find: the diagonal is "
    "empty, through all layers. And the guesses notice just what the mask of "
    f"the query stream allows, {int(noticed.sum())} of "
    f"{noticed.numel()} pairs.",
    not noticed.diagonal().any()
    and torch.equal(noticed.bool(), streams["query"]),
)

# %%
tell(
    """
    ## ALBERT

    **Its question** (Lan et al. 2020): larger models are better, and do not
    fit into memory. Are all these numbers needed?

    **Its answer**: no. Words get small vectors, which one matrix makes large:
    $V \\times E + E \\times H$ numbers instead of $V \\times H$
    (section 3.1); and all layers are the same layer, used again and again.
    """
)

# %%
with torch.device("meta"):
    built = {
        **{
            f"BERT {name}": BERT(BERT_SIZES[name])
            for name in ("base", "large")
        },
        **{
            f"ALBERT {name}": ALBERT(ALBERT_SIZES[name])
            for name in ("base", "large", "xlarge", "xxlarge")
        },
    }
PUBLISHED = {  # millions, table 1
    "BERT base": 108,
    "BERT large": 334,
    "ALBERT base": 12,
    "ALBERT large": 18,
    "ALBERT xlarge": 60,
    "ALBERT xxlarge": 235,
}
sizes = {
    name: sum(own.numel() for own in model.parameters())
    for name, model in built.items()
}
of_words = {
    name: model.token.weight.numel()
    + (model.projection.weight.numel() if "ALBERT" in name else 0)
    for name, model in built.items()
}

# %%
table(
    "The published sizes, in millions of numbers: counted, and by table 1",
    ["model", "layers", "width", "words", "all, counted", "all, table"],
    [
        [
            name,
            model.config.depth,
            model.config.width,
            of_words[name] / 1e6,
            sizes[name] / 1e6,
            PUBLISHED[name],
        ]
        for name, model in built.items()
    ],
)
bars(
    "Numbers of each model, in millions",
    "millions",
    {name: number / 1e6 for name, number in sizes.items()},
)

# %%
shared = {id(block) for block in built["ALBERT large"].layers()}
ratio = sizes["BERT large"] / sizes["ALBERT large"]

# %%
claim(
    f"ALBERT large has {len(built['ALBERT large'].layers())} layers, all of "
    "which are the same object. It has "
    f"{sizes['ALBERT large'] / 1e6:.1f} million numbers, BERT large "
    f"{sizes['BERT large'] / 1e6:.0f}: {ratio:.0f} times as many.",
    len(shared) == 1
    and 17 < ratio < 20
    and all(
        abs(sizes[name] / 1e6 - own) < 0.06 * own
        for name, own in PUBLISHED.items()
    ),
)
source(ALBERT.layers, ALBERT.embed)

# %%
SHAPE = {
    "vocabulary": 1000,
    "context": 64,
    "width": 128,
    "depth": 6,
    "heads": 4,
    "hidden": 512,
}
small = Packed(torch.arange(64), torch.tensor([64]))
operations, numbers = {}, {}
for name, model in (
    ("BERT", BERT(BERTConfig(**SHAPE))),
    ("ALBERT", ALBERT(ALBERTConfig(embedding=32, **SHAPE))),
):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(small)
    operations[name] = counter.get_total_flops()
    numbers[name] = sum(own.numel() for own in model.parameters())

# %%
table(
    "The same shape twice: fewer numbers, and as much work",
    ["model", "numbers", "operations for one text"],
    [[name, numbers[name], operations[name]] for name in numbers],
)
claim(
    "What ALBERT saves is memory, not time: it has "
    f"{numbers['BERT'] / numbers['ALBERT']:.1f} times fewer numbers here, and "
    f"needs {operations['ALBERT'] / operations['BERT']:.3f} times the "
    "operations, for each layer is still computed, and the small vectors "
    "have to be made large.",
    1 <= operations["ALBERT"] / operations["BERT"] < 1.1
    and numbers["BERT"] > 3 * numbers["ALBERT"],
)


# %%
def pairs_of(mask, length, together=1024):
    """Count the pairs of a long text which a mask allows, part by part."""
    keys, heads = torch.arange(length), torch.zeros(1, dtype=torch.int64)
    return sum(
        int(mask.allows(heads, heads, queries[:, None], keys).sum())
        for queries in torch.arange(length).split(together)
    )


enwik8 = SPARSE_TRANSFORMER_SIZES["enwik8"]
sparse_pairs = pairs_of(fixed(enwik8.stride, enwik8.summary), enwik8.context)
dense_pairs = enwik8.context * (enwik8.context + 1) // 2
places = torch.arange(2 * SEGMENT)
inside = places % SEGMENT
apart = places[:, None] - places


# %%
question(
    "How much does the fixed pattern save at the length of the paper?",
    f"For {enwik8.context:,} characters, blocks of {enwik8.stride} and "
    f"{enwik8.summary} cells which sum up each, {sparse_pairs:,} pairs are "
    f"allowed of {dense_pairs:,}: {sparse_pairs / dense_pairs:.0%}. One "
    "summary cell for each block would be enough to reach everything; several "
    "cost as many times more, and section 4.2 finds them worth it.",
    0.2 < sparse_pairs / dense_pairs < 0.35,
)
question(
    "Why can Transformer-XL not number its positions, as BERT does?",
    "Since what is remembered has numbers of its own segment. With segments "
    f"of {SEGMENT}, each of {len(places)} words would share its number with "
    f"{int((inside[:, None] == inside).sum()) // len(places) - 1} other. "
    "Distances do not collide: each word of the second segment sees "
    f"{SEGMENT + 1} or more others, all at different ones.",
    all(len(set(row.tolist())) == len(row) for row in apart[SEGMENT:])
    and int((inside[:, None] == inside).sum()) > len(places),
)
question(
    "Is ALBERT faster than BERT?",
    "Not at the same shape: it needs "
    f"{operations['ALBERT'] / operations['BERT']:.3f} times the operations. "
    f"Its {PUBLISHED['ALBERT xxlarge']} million numbers of xxlarge are "
    f"{PUBLISHED['ALBERT xxlarge'] / PUBLISHED['BERT large']:.1f} times those "
    "of BERT large, but a layer is "
    f"{ALBERT_SIZES['xxlarge'].width // BERT_SIZES['large'].width} times as "
    "wide, and so costs about "
    f"{(ALBERT_SIZES['xxlarge'].width / BERT_SIZES['large'].width) ** 2:.0f} "
    "times as much.",
    operations["ALBERT"] >= operations["BERT"]
    and sizes["ALBERT xxlarge"] < sizes["BERT large"],
)

#!/usr/bin/env python3
"""What self-supervised learning is: four ways to learn from plain text."""

import math
from itertools import count
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import numpy as np
import torch

from regard.attention.masks import causal, documents
from regard.attention.packing import Packed
from regard.data.corpus import Corpus
from regard.data.loading import Cursor
from regard.data.masked_sequences import MaskedSequences
from regard.data.masking import Masking
from regard.data.permutation import Permuting, may_attend
from regard.data.permuted_sequences import PermutedBatch
from regard.data.sentence_pairs import SentenceOrder, Unpaired
from regard.data.sentence_store import SentenceStore
from regard.data.text_store import TextStore
from regard.data.windows import Windows
from regard.models.albert import ALBERT, ALBERTConfig
from regard.models.bert import BERT, BERTConfig
from regard.models.gpt2 import GPT2, GPT2Config
from regard.models.heads import MaskedWords, MaskedWordsAndPair, PermutedWords
from regard.models.xlnet import XLNet, XLNetConfig
from regard.objectives.masked_words import MaskedWords as MaskedLoss
from regard.objectives.next_token import NextToken
from regard.objectives.permuted_words import PermutedWords as PermutedLoss
from regard.text.tokenizer import Tokenizer
from regard.training.optimisers import adamw, scaled

from page import (
    ROOT,
    begin,
    claim,
    curves,
    figure,
    question,
    source,
    table,
    tell,
)

# %%
begin(
    "What is self-supervised learning?",
    "Self-supervised learning is learning without a teacher: a part of a text "
    "is hidden, a model guesses it, and the text itself says what would have "
    "been right.",
    "Since every text ever written can be used so, nobody has to label "
    "anything, and what helps to guess well, from grammar to facts, has to be "
    "learnt on the way.",
    "The methods differ in what they hide and in what the guess may look at: "
    "GPT hides all that follows, BERT hides some words in the middle, ALBERT "
    "also swaps sentences, and XLNet reads the words in any order.",
)

# %%
tell(
    """
    ## A text without labels

    The text of this lesson is small enough to know all that there is to know
    about it: short stories about animals.
    """
)


# %%
TEXT = ROOT / "lessons" / "data" / "animals.txt"
STORIES = TEXT.read_text(encoding="utf-8").strip().split("\n\n")
KEPT = 54  # stories which nobody learns from

tokenizer = Tokenizer.train(
    [line for story in STORIES for line in story.splitlines()],
    kind="bert",
    vocabulary=300,
    lowercase=True,
)
folder = Path(mkdtemp())
pieces = list(Corpus(str(TEXT), documents="paragraphs").read())
parts = {"train": pieces[:-KEPT], "held": pieces[-KEPT:]}
sentences = {
    name: SentenceStore.build(
        folder / f"sentences-{name}", own, tokenizer, sentences="lines"
    )
    for name, own in parts.items()
}
texts = {
    name: TextStore.build(folder / f"text-{name}", own, tokenizer)
    for name, own in parts.items()
}

# %%
story = STORIES[-1].replace("\n", " ")
words = tokenizer.pieces(tokenizer.encode(story))
chosen = {"days": set(), "people": set(), "animals": set()}
for told in STORIES:
    _, day, person, *_, animal = told.splitlines()[0].rstrip(".").split()
    for name, word in zip(chosen, (day, person, animal), strict=True):
        chosen[name].add(word)
counts = {name: len(found) for name, found in chosen.items()}
combined = math.prod(counts.values())


# %%
claim(
    f"> {story}\n\n"
    f"There are {len(STORIES)} of them, one for each of {counts['days']} "
    f"days, {counts['people']} people and {counts['animals']} animals, in an "
    "order drawn by chance; the "
    f"last {KEPT} are kept apart, and nothing below learns from them. Which "
    "day and which person come along is pure chance. But who knows one of the "
    "words about an animal could know all the others. Nobody tells the models "
    "so: they have "
    f"{texts['train'].tokens:,} words of text, {tokenizer.size} different "
    "ones, and nothing else.",
    combined == len(STORIES) == len(set(STORIES)),
)


# %%
tell("## Four ways to hide something, on the same two sentences")


# %%
SENTENCES = ["It barks and eats bones.", "It sleeps in the kennel."]
ids = tokenizer.encode_batch(SENTENCES)
front, back = (tokenizer.framing(is_last=last) for last in (False, True))
special = {front.summary, front.separator}
plain = ids[0] + ids[1]


def square(mask, length):
    """Say which of so many places may see which, [T, T]."""
    return mask.dense(1, 1, length, length).expand(1, 1, -1, -1)[0, 0]


views = {}  # by method: what is read, which sees which, what is found where

following = tokenizer.pieces(plain)
views["causal"] = (
    following,
    square(causal(), len(plain)),
    dict(enumerate(following[1:])),
)

framed, _ = front.frame(plain)
masking = Masking(tokenizer.mask, tokenizer.size)
hidden = masking.hide(framed, special, Random(34))
whole = documents(torch.tensor([len(framed)]))
views["masked"] = (
    tokenizer.pieces(hidden.ids),
    square(whole, len(framed)),
    dict(zip(hidden.positions, tokenizer.pieces(hidden.words), strict=True)),
)

swapped, segments = front.frame(ids[1], ids[0])
whole = documents(torch.tensor([len(swapped)]))
views["sentence order"] = (
    tokenizer.pieces(swapped),
    square(whole, len(swapped)),
    {0: "swapped"},
)

last, _ = back.frame(plain)
random = Random(7)
permuting = Permuting(tokenizer.begins_word)
targets = permuting.chosen(last, special, 3, random)
is_target = np.isin(np.arange(len(last)), targets)
is_ranked = is_target | np.isin(last, list(special))
order = torch.from_numpy(permuting.order(is_ranked, (len(last),), random))
views["permuted"] = (
    tokenizer.pieces(last),
    may_attend(order, torch.from_numpy(is_target)),
    {place: tokenizer.pieces([last[place]])[0] for place in targets},
)


# %%
def draw_views():
    """Draw who may see whom, and what is found where."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.2, 9.6), layout="constrained")
    panels = drawn.subplots(2, 2).flatten()
    for axes, (name, (read, sees, found)) in zip(
        panels, views.items(), strict=True
    ):
        is_word = torch.tensor([word != "[MASK]" for word in read])
        shades = 0.08 + sees * (0.22 + 0.45 * is_word)
        axes.imshow(shades, cmap="Greys", vmin=0, vmax=1)
        axes.set_title(name, fontweight="bold", loc="left")
        axes.set_xticks(range(len(read)), read, rotation=90, fontsize=7)
        labels = [
            f"{'?' if name == 'permuted' else word} → {found[place]}"
            if place in found
            else word
            for place, word in enumerate(read)
        ]
        axes.set_yticks(range(len(read)), labels, fontsize=7)
        for place, label in enumerate(axes.get_yticklabels()):
            label.set_fontweight("bold" if place in found else "normal")
            if place in found:
                axes.axhspan(
                    place - 0.5,
                    place + 0.5,
                    fill=False,
                    edgecolor="#c2410c",
                    linewidth=1.2,
                )
        axes.tick_params(
            length=0, top=True, labeltop=True, bottom=False, labelbottom=False
        )
        for side in (axes.xaxis, axes.yaxis):
            side.set_ticks(np.arange(1, len(read)) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
    return drawn


seen_by = {
    name: [
        [read[j] for j in range(len(read)) if sees[place, j]]
        for place in found
    ]
    for name, (read, sees, found) in views.items()
}

# %%
figure(
    draw_views(),
    "What each word may look at: dark where the word of the row sees the "
    "word of the column, grey where it sees a mask in its place. Framed rows "
    "are where something is guessed; the arrow says what.",
    "Four matrices. Causal: a triangle, each word sees those before it. "
    "Masked and sentence order: all see all, but masks say nothing. "
    "Permuted: all see what is given, "
    "and the guessed words see those which come earlier in a random order, "
    "never themselves.",
    ["method", "at", "is guessed", "from"],
    [
        [name, read[place], found[place], " ".join(own)]
        for name, (read, sees, found) in views.items()
        for place, own in zip(found, seen_by[name], strict=True)
    ],
)
table(
    "What is hidden, what is guessed, and what a guess may see",
    ["method", "model", "paper", "hidden", "guessed", "a guess sees"],
    [
        [
            "causal",
            "GPT",
            "Radford et al. (2018), section 3.1",
            "all that follows",
            "the next word",
            "the words before it",
        ],
        [
            "masked",
            "BERT",
            "Devlin et al. (2019), section 3.1",
            "some words, replaced by `[MASK]`",
            "the hidden words",
            "all others, on both sides",
        ],
        [
            "sentence order",
            "ALBERT",
            "Lan et al. (2020), section 3.1",
            "which of two sentences came first",
            "whether they are swapped",
            "both sentences",
        ],
        [
            "permuted",
            "XLNet",
            "Yang et al. (2019), section 2.2",
            "some words, and their order",
            "these words, one after the other",
            "all words which are given, and those guessed before",
        ],
    ],
)
claim(
    "In the picture no guess sees what it has to find. In the masked panel "
    "the word is not there, it was replaced. In the permuted one it is there, "
    "and the diagonal is left out for it.",
    all(read[p] == "[MASK]" for read, _, at in [views["masked"]] for p in at)
    and not views["permuted"][1][targets, targets].any()
    and not views["causal"][1].triu(1).any(),
)

# %%
tell(
    """
    Each of them is a sum of logarithms of probabilities, which is made as
    large as possible. With $x_1 \\dots x_T$ for the words:

    - causal: $\\sum_t \\log p(x_t \\mid x_1 \\dots x_{t-1})$
    - masked: $\\sum_{t \\in M} \\log p(x_t \\mid \\hat{x})$, where $M$ are
      the hidden places and $\\hat{x}$ is the text with masks
    - permuted: $\\sum_{t \\in M} \\log p(x_{z_t} \\mid x_{z_1} \\dots
      x_{z_{t-1}})$ for an order $z$ which is drawn anew each time

    These are the lines of the library which say who may see whom: a mask is
    a predicate, and the permuted one compares two numbers.
    """
)
source(causal, may_attend, Masking.hide)

# %%
tell(
    """
    ## One loop for all four

    The four methods are four modules around a model, and all of them give a
    `Loss`. So one loop trains all four, with one layer, the same width, the
    same words and the same optimiser.
    """
)
source(NextToken.forward, PermutedLoss.forward)

# %%
WIDTH, LENGTH, TOGETHER = 64, 32, 1024
SIZES = {
    "vocabulary": tokenizer.size,
    "width": WIDTH,
    "depth": 1,
    "heads": 4,
    "dropout": 0.0,
}
BOTH_SIDES = {**SIZES, "hidden": 4 * WIDTH, "attention_dropout": 0.0}


def train(objective, batches, steps, rate=5e-3):
    """Train, and give the loss of each step in nats a guess."""
    with torch.no_grad():  # starts are published for a width of 768
        for parameter in objective.parameters():
            if parameter.ndim > 1:
                parameter.mul_(math.sqrt(768 / WIDTH))
    optimiser = adamw([scaled(objective.parameters())], 0.01, 0.99)
    losses, memory = [], ()
    plan = zip(range(1, steps + 1), batches.plan(Cursor()), strict=False)
    for step, (item, _) in plan:
        batch = batches.batch(item)
        loss = objective(*batch.parts, *((memory,) if batch.goes_on else ()))
        memory = loss.memory
        objective.zero_grad()
        (loss.total / loss.tokens).backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, step / 20, 2.02 - 2 * step / steps)
        optimiser.step()
        losses.append(-float(loss.log_likelihood) / loss.tokens)
    return losses


@torch.no_grad()
def measure(objective, batches):
    """Give the loss over an epoch, in nats a guess."""
    nats, guesses, memory = 0.0, 0, ()
    for item, after in batches.plan(Cursor()):
        batch = batches.batch(item)
        loss = objective(*batch.parts, *((memory,) if batch.goes_on else ()))
        memory = loss.memory
        nats -= float(loss.log_likelihood)
        guesses += loss.tokens
        if after.epoch:
            return nats / guesses


# %%
def windows(name):
    """Make batches of whole stories."""
    return Windows(texts[name], LENGTH, TOGETHER, documents=True)


def masked(name, passages):
    """Make batches of masked stories."""
    store = sentences[name]
    return MaskedSequences(store, passages, masking, front, LENGTH, TOGETHER)


class Permuted:
    """Batches of whole stories, which are read in an order of chance."""

    def __init__(self, name):
        """Frame the stories."""
        store = sentences[name]
        bounds = [store.bounds(number) for number in range(len(store))]
        framed = [back.frame(store.ids(own[0], own[-1])) for own in bounds]
        self.tokens, self.segments = map(
            torch.tensor, zip(*framed, strict=True)
        )

    def plan(self, cursor):
        """Say which stories are read together, epoch after epoch."""
        for epoch in count(cursor.epoch):
            random = Random(f"{epoch}")
            turns = random.sample(range(len(self.tokens)), len(self.tokens))
            parts = torch.tensor(turns).split(TOGETHER // LENGTH)
            for number, part in enumerate(parts, 1):
                yield part, Cursor(epoch + (number == len(parts)))

    def batch(self, chosen):
        """Hide a quarter of each story, and draw its order."""
        random, T = Random(str(chosen.tolist())), self.tokens.shape[1]
        orders, positions = [], []
        for ids in self.tokens[chosen].tolist():
            found = permuting.chosen(ids, special, T // 4, random)
            ranked = np.isin(ids, list(special))
            ranked[found] = True
            orders.append(permuting.order(ranked, (T,), random))
            positions.append(found)
        return PermutedBatch(
            self.tokens[chosen],
            self.segments[chosen],
            torch.from_numpy(np.array(orders)),
            torch.tensor(positions),
            reuse=0,
        )


torch.manual_seed(7)
gpt = GPT2(GPT2Config(context=LENGTH, **SIZES))
bert = MaskedWords(BERT(BERTConfig(context=LENGTH, **BOTH_SIDES)))
albert = MaskedWordsAndPair(
    ALBERT(ALBERTConfig(context=LENGTH, embedding=32, **BOTH_SIDES))
)
xlnet = PermutedWords(XLNet(XLNetConfig(**BOTH_SIDES)))

objectives = {
    "causal": NextToken(gpt),
    "masked": MaskedLoss(bert),
    "sentence order": MaskedLoss(albert),
    "permuted": PermutedLoss(xlnet),
}
losses = {
    "causal": train(objectives["causal"], windows("train"), 100),
    "masked": train(objectives["masked"], masked("train", Unpaired()), 240),
    "sentence order": train(
        objectives["sentence order"], masked("train", SentenceOrder()), 200
    ),
    "permuted": train(objectives["permuted"], Permuted("train"), 350, 1e-2),
}

# %%
curves(
    "How the models learn: the loss of a batch, in nats a guess. Flat at "
    "first means that only the frequent words are known; the steps down are "
    "what is found out, such as that a word depends on another one.",
    "share of the training",
    "nats a guess",
    [(number + 1) / 25 for number in range(25)],
    {
        name: [float(np.mean(part)) for part in np.array_split(own, 25)]
        for name, own in losses.items()
    },
)


# %%
tell("## Better than guessing?")


# %%
def frequencies():
    """Give the loss of who knows only how frequent words are."""
    stores = [sentences[name] for name in ("train", "held")]
    learnt, asked = (
        np.bincount(store.ids(0, store.tokens), minlength=tokenizer.size)
        for store in stores
    )
    shares = (learnt + 1) / (learnt + 1).sum()
    return -float(asked @ np.log(shares)) / asked.sum()


@torch.no_grad()
def swaps():
    """Give log-probabilities of "in order" and "swapped", for both."""
    framed, kinds = [], []
    store = sentences["held"]
    for number in range(len(store)):
        bounds = store.bounds(number)
        middle = bounds[len(bounds) // 2]
        halves = [
            store.ids(bounds[0], middle),
            store.ids(middle, bounds[-1]),
        ]
        for pair in (halves, halves[::-1]):
            tokens, segments = front.frame(*pair)
            framed.append(tokens)
            kinds += segments
    text = Packed.of(framed)
    _, scores = albert.both(text, torch.tensor(kinds), text.starts + 1)
    return scores.log_softmax(-1)


for model in (gpt, bert, albert, xlnet):
    model.eval()
held = {
    "causal": measure(objectives["causal"], windows("held")),
    "masked": measure(objectives["masked"], masked("held", Unpaired())),
    "permuted": measure(objectives["permuted"], Permuted("held")),
}
told_apart = swaps()
is_swapped = torch.arange(len(told_apart)) % 2
right = float((told_apart.argmax(1) == is_swapped).float().mean())
of_order = -float(told_apart.gather(1, is_swapped[:, None]).mean())

uniform, by_frequency = math.log(tokenizer.size), frequencies()
story_length = len(words)
floor = math.log(combined) / (story_length - 1)

# %%
table(
    "Loss on the stories which were kept apart, in nats a guess",
    ["method", "any word alike", "by frequency", "trained", "perplexity"],
    [
        *(
            [name, uniform, by_frequency, nats, math.exp(nats)]
            for name, nats in held.items()
        ),
        [
            "sentence order",
            math.log(2),
            math.log(2),
            of_order,
            math.exp(of_order),
        ],
    ],
)
claim(
    f"Who takes any of the {tokenizer.size} words alike loses "
    f"$\\log {tokenizer.size}$ = {uniform:.2f} nats; who knows how frequent "
    f"they are still {by_frequency:.2f}. All three trained models lose far "
    "less, on stories which they have never seen; and of "
    f"{len(told_apart)} halved stories, the fourth says of {right:.0%} "
    "whether the halves are swapped, where half are right by chance.",
    all(nats < by_frequency / 2 for nats in held.values()) and right > 0.9,
)
claim(
    "For the causal model we even know what cannot be improved. A story is "
    f"one of {combined}, all alike, so whoever reads it from the left has "
    f"$\\log {combined}$ = {math.log(combined):.2f} nats to lose, which is "
    f"{floor:.3f} for each of its {story_length - 1} guesses. The model "
    f"loses {held['causal']:.3f}: it has learnt all that there is.",
    0.97 * floor < held["causal"] < floor + 0.1,
)


# %%
tell(
    """
    ## The same story, word by word

    Here is where the methods differ. Each word of a story which was kept
    apart is guessed once: by GPT from the words on its left, by BERT and
    XLNet from all others.
    """
)


# %%
@torch.no_grad()
def surprises(ids):
    """Give what each word but the first costs each model, in nats."""
    gold = torch.tensor(ids)
    T = len(ids)
    at = torch.arange(1, T)
    scores = gpt(Packed.of([ids])).log_softmax(-1)
    found = {"causal": -scores[at - 1, gold[at]]}

    framed, _ = front.frame(ids)
    rows = [list(framed) for _ in at]
    for place, row in zip(at.tolist(), rows, strict=True):
        row[place + 1] = tokenizer.mask
    text = Packed.of(rows)
    scores = bert(text, None, text.starts + at + 1).log_softmax(-1)
    found["masked"] = -scores[torch.arange(T - 1), gold[at]]

    read, segments = (torch.tensor(own) for own in back.frame(ids))
    is_target = at[:, None] == torch.arange(len(read))
    scores, _ = xlnet(
        read.expand(T - 1, -1),
        segments.expand(T - 1, -1),
        may_attend(is_target.long(), is_target),
        at[:, None],
    )
    found["permuted"] = -scores[:, 0].log_softmax(-1)[
        torch.arange(T - 1), gold[at]
    ]
    return {name: own.tolist() for name, own in found.items()}


def draw_surprises(costs):
    """Draw what each word costs each model."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.2, 3.8), layout="constrained")
    axes = drawn.add_subplot()
    looks = (
        ("#0072b2", "o", ""),
        ("#d55e00", "s", "//"),
        ("#009e73", "^", "..."),
    )
    for number, ((name, own), (colour, _, hatch)) in enumerate(
        zip(costs.items(), looks, strict=True)
    ):
        axes.bar(
            np.arange(len(own)) + 0.27 * (number - 1),
            own,
            0.27,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=name,
        )
    axes.set_xticks(range(len(words) - 1), words[1:], rotation=90)
    axes.set(ylabel="nats")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return drawn


costs = surprises(tokenizer.encode(story))
animal = words[words.index("a") + 1]
place = words.index(animal) - 1
at_animal = {name: own[place] for name, own in costs.items()}

# %%
figure(
    draw_surprises(costs),
    "How surprised each model is by each word, in nats: nothing means "
    "certain. The first word is given.",
    "Bars for each word of a story. The causal model is surprised by the day, "
    "the person and the animal, the others by the day and the person only.",
    ["word", *costs],
    [
        [word, *own]
        for word, *own in zip(words[1:], *costs.values(), strict=True)
    ],
)

# %%
chance = math.log(counts["animals"])

# %%
claim(
    f"All of them pay for the day and the person, which nobody can know. But "
    f"at the word *{animal}* the causal model loses {at_animal['causal']:.2f} "
    f"nats, as much as chance among {counts['animals']} animals, "
    f"$\\log {counts['animals']}$ = {chance:.2f}: all that tells of the "
    "animal stands to the right, where it may not look. The masked model "
    f"reads it there, and loses {at_animal['masked']:.2f}; the permuted one "
    f"{at_animal['permuted']:.2f}.",
    abs(at_animal["causal"] - chance) < 0.6
    and at_animal["masked"] < 0.5 * at_animal["causal"]
    and at_animal["permuted"] < 0.8 * at_animal["causal"],
)

# %%
tell(
    """
    ## When several words are hidden at once

    A mask hides its word from the other masks too. So the masked model says
    of each hidden word by itself how probable it is, as if the others did
    not matter. The permuted model guesses them one after the other, and each
    guess may look at those before: "XLNet is able to capture the dependency"
    (Yang et al. 2019, section 2.6, where the words are New and York).
    """
)


# %%
@torch.no_grad()
def all_hidden(ids, places):
    """Give the nats of words which are hidden together, at each place."""
    gold = torch.tensor(ids)[places]
    row, _ = front.frame(ids)
    for place in places:
        row[place + 1] = tokenizer.mask
    scores = bert(Packed.of([row]), None, torch.tensor(places) + 1)
    together = -scores.log_softmax(-1).gather(1, gold[:, None])[:, 0]

    read, segments = (torch.tensor(own)[None] for own in back.frame(ids))
    is_target = torch.zeros_like(read, dtype=torch.bool)
    is_target[0, places] = True
    turns = torch.zeros_like(read)
    turns[0, places] = torch.arange(1, len(places) + 1)
    allowed = may_attend(turns, is_target)
    scores, _ = xlnet(read, segments, allowed, torch.tensor([places]))
    in_turn = -scores[0].log_softmax(-1).gather(1, gold[:, None])[:, 0]
    return together.tolist(), in_turn.tolist()


clues = [
    place
    for place, word in enumerate(words)
    if word in " ".join(told for told in STORIES if animal in told)
    and sum(word in told.lower() for told in STORIES)
    == len(STORIES) // counts["animals"]
]
together, in_turn = all_hidden(tokenizer.encode(story), clues)

# %%
table(
    "All words about the animal are hidden: nats of each, from the left",
    ["word", "masked: each by itself", "permuted: one after the other"],
    [
        *(
            [words[place], one, other]
            for place, one, other in zip(clues, together, in_turn, strict=True)
        ),
        ["sum", sum(together), sum(in_turn)],
    ],
)

# %%
ideal = len(clues) * chance

# %%
claim(
    "The permuted model guesses among the "
    f"{counts['animals']} animals once and knows it from then on: "
    f"{sum(in_turn):.1f} nats. The masked one guesses {len(clues)} times by "
    f"itself, for which even an ideal one pays {len(clues)} times "
    f"$\\log {counts['animals']}$ = {ideal:.1f}; this one, of which so much "
    f"was never hidden at once, pays {sum(together):.1f}.",
    sum(in_turn) < 0.75 * ideal < sum(together)
    and in_turn[-1] < in_turn[0] / 2,
)

# %%
batch = next(
    masked("train", Unpaired()).batch(item)
    for item, _ in masked("train", Unpaired()).plan(Cursor())
)
of_masked = batch.targets / len(batch.text.tokens)
of_causal = (story_length - 1) / story_length

# %%
question(
    "Why does GPT not know which animal it will be, however long it learns?",
    "Because nothing to the left says so. Its loss at that word was "
    f"{at_animal['causal']:.2f} nats, and "
    f"$\\log {counts['animals']}$ is {chance:.2f}: it spreads its guess "
    f"evenly over the {counts['animals']} animals, which is the best one can "
    f"do. The masked model, which sees the rest, lost "
    f"{at_animal['masked']:.2f}.",
    abs(at_animal["causal"] - chance) < 0.6,
)
question(
    "What does the masked model pay for seeing both sides?",
    "It learns from fewer guesses. The causal model guesses "
    f"{of_causal:.0%} of the words which it reads, the masked one "
    f"{of_masked:.0%}, so that it must read {of_causal / of_masked:.1f} "
    "times as much for as many guesses. And it never guesses one word from "
    f"another guess: hidden together, the {len(clues)} words cost "
    f"{sum(together):.1f} nats, one after the other {sum(in_turn):.1f}.",
    of_causal > 4 * of_masked and sum(in_turn) < 0.75 * ideal,
)
question(
    "Who labelled the data?",
    "Nobody. Of the "
    f"{texts['train'].tokens:,} words which were read, each was the label of "
    "a guess now and then: the text is cut into a question and its answer by "
    "hiding a part. The swapped halves are labelled by whoever swaps them; "
    f"from that alone the model learnt to tell {right:.0%} of unseen stories "
    "from their swapped ones.",
    right > 0.9 and texts["train"].tokens > 0,
)

#!/usr/bin/env python3
"""What BERT is: reading with both sides in view."""

import math
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import numpy as np
import torch

from regard.attention.masks import documents
from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.data.corpus import Corpus
from regard.data.loading import Cursor
from regard.data.masked_sequences import MaskedSequences
from regard.data.masking import Masking
from regard.data.sentence_pairs import NextSentence, Unpaired
from regard.data.sentence_store import SentenceStore
from regard.models.bert import BERT, BERT_SIZES, BERTConfig
from regard.models.gpt2 import GPT2, GPT2_SIZES
from regard.models.heads import MaskedWords, MaskedWordsAndPair
from regard.objectives.masked_words import MaskedWords as MaskedLoss
from regard.reading.pretrained import find_model
from regard.reading.reader import Reader
from regard.text.framing import Framing
from regard.text.tokenizer import Tokenizer
from regard.training.optimisers import adamw, scaled
from regard.visualise.view import pictures

from page import (
    ROOT,
    attention,
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
    "What is BERT?",
    "BERT is a model which reads: it gives every word of a text a list of "
    "numbers that says what the word means in this very place, in the light "
    "of all words to its left and to its right.",
    "It learnt to do so from plain text alone, in which some words were "
    "hidden, by guessing what stood there.",
    "Whoever needs answers, labels or names found in a text puts a small "
    "layer on top of it and trains a little more.",
)

# %%
tell(
    """
    BERT stands for Bidirectional Encoder Representations from Transformers
    (Devlin et al. 2019). It is the left half of the Transformer, the
    encoder, by itself.

    The model which is looked at here is MiniLM, a small BERT which comes as
    a package, so that no network is needed. After it had learnt from a
    larger model, it was tuned on more than a billion pairs of texts, so that
    the cosine of their vectors says whether two texts belong together.

    ## What it reads
    """
)

# %%
folder = find_model("minilm")
reader = Reader.load(folder)
minilm, tokenizer = reader.model.eval(), reader.tokenizer
config = minilm.config
PAIR = ("My dog is unbelievably cute.", "He likes playing.")
inputs, _ = reader.frame([PAIR])
text, segments = inputs.packed(np.array([0]))
pieces = tokenizer.pieces(text.tokens.tolist())

# %%
table(
    "Two sentences as BERT reads them (section 3, figure 2)",
    ["piece", "id", "segment", "position"],
    zip(
        pieces,
        text.tokens.tolist(),
        segments.tolist(),
        text.positions.tolist(),
        strict=True,
    ),
)

# %%
longer = [piece for piece in pieces if piece.startswith("##")]

# %%
claim(
    "A text is cut into word pieces. A word which is not among the "
    f"{tokenizer.size:,} of the vocabulary is put together from several, of "
    "which those that go on with a word begin with `##`: "
    f"{', '.join(f'`{piece}`' for piece in longer)}. Two special tokens are "
    f"put around the texts: `{pieces[0]}` comes first, and what BERT makes "
    f"of it sums up the whole input; `{pieces[-1]}` ends each text. The "
    "segment says to which text a piece belongs.",
    len(longer) > 0 and pieces.count("[SEP]") == len(PAIR),
)
source(Framing.frame)

# %%
with torch.no_grad():
    embedded = minilm.embed(text, segments)
    by_hand = minilm.norm(
        minilm.token(text.tokens)
        + minilm.segment(segments)
        + minilm.position(text.positions)
    )
off = float((embedded - by_hand).abs().max())

# %%
claim(
    "Each piece enters as the sum of three vectors of "
    f"{config.width} numbers which were learnt: which piece it is, in which "
    "text, and where. We add them by hand, normalise, and differ from "
    f"the library by {off:.1g}.",
    off < 1e-5,
)
source(BERT.embed)

# %%
tell(
    """
    ## Both sides at once

    In each layer every piece looks at all pieces, those behind it too. That
    is all that sets BERT's attention apart from GPT's: no mask hides the
    future. Here is what the heads of MiniLM look at; choose a layer and a
    head, and point at a word.
    """
)


# %%
SENTENCE = "She sat on the bank of the river."
OTHER = "She sat on the bank of the street."
read = [
    reader.framing.frame(tokenizer.encode(own))[0] for own in (SENTENCE, OTHER)
]
names = tokenizer.pieces(read[0])
with torch.no_grad(), recording(minilm) as maps:
    minilm.hidden(Packed.of(read[:1]))
layers = torch.stack([weights[0] for weights in maps.values()])  # [L, A, T, T]

# %%
attention("What MiniLM looks at", pictures(reader, [SENTENCE, PAIR]))

# %%
bank, river = names.index("bank"), names.index("river")
strength = layers[:, :, bank, river]
layer, head = np.unravel_index(int(strength.argmax()), strength.shape)

# %%
heat(
    "The head in which *bank* looks most at *river*; each row is one word's "
    "look at all words, and sums to one.",
    layers[layer, head],
    names,
    names,
    corner="looks, at",
)

# %%
ahead = layers.triu(1).sum((-1, -2)) / layers.sum((-1, -2))

# %%
claim(
    f"In head {head} of layer {layer}, *bank* gives "
    f"{float(strength.max()):.0%} of its attention to *river*, which stands "
    f"behind it. Over all {layers.shape[0]} layers and {layers.shape[1]} "
    f"heads {float(ahead.mean()):.0%} of the attention goes to words further "
    f"on, and no weight is zero: the smallest is {float(layers.min()):.0e}.",
    float(layers.min()) > 0 and float(strength.max()) > 0.2,
)

# %%
torch.manual_seed(6)
gpt = GPT2(GPT2_SIZES["tiny"]).eval()
small = [[id % gpt.config.vocabulary for id in own] for own in read]


@torch.no_grad()
def change(model, one, other):
    """Say how far each state moves from one text to another, in its size."""
    before, after = (model.hidden(Packed.of([ids])) for ids in (one, other))
    return ((after - before).norm(dim=1) / before.norm(dim=1)).tolist()


moved = {"BERT": change(minilm, *read), "GPT": change(gpt, *small)}

# %%
table(
    "*river* becomes *street*: how far each word's vector moves",
    ["word", *moved],
    zip(names, *moved.values(), strict=True),
)
claim(
    "Change a word, and in BERT the vectors of all words move, those before "
    f"it too: *bank* by {moved['BERT'][bank]:.0%} of its length, for it has "
    "become another bank. In GPT nothing before the word moves at all.",
    min(moved["BERT"]) > 0.01
    and max(moved["GPT"][:river]) < 1e-5
    and moved["GPT"][river] > 0,
)

# %%
tell(
    """
    ## A word has no meaning of its own

    A table of word vectors has one entry for *bank*. BERT begins with it,
    too, and then makes something else of it in each place. Here are six
    sentences with a bank in each, and how alike their vectors are: the cosine
    of the angle between two of them.
    """
)

# %%
RIVER = [
    "They sat on the bank of the river and fished.",
    "The boat reached the muddy bank of the stream.",
    "Trees grew along the bank of the lake.",
]
MONEY = [
    "She paid the money into the bank.",
    "The bank lent him money for a house.",
    "He opened an account at the bank.",
]


@torch.no_grad()
def states_of(word, texts):
    """Give what each layer holds of a word in each text, [L + 1, B, D]."""
    packed = Packed.of(
        reader.framing.frame(ids)[0] for ids in tokenizer.encode_batch(texts)
    )
    [id] = tokenizer.encode(word)
    places = packed.tokens == id
    x = minilm.embed(packed, None)[None]
    found = [x[0, places]]
    for block in minilm.layers():
        x = block(x, mask=documents(packed.lengths))
        found.append(x[0, places])
    return torch.stack(found)


states = torch.nn.functional.normalize(
    states_of("bank", RIVER + MONEY), dim=-1
)
alike = states @ states.mT  # [L + 1, B, B]
own = torch.block_diag(
    *[torch.ones(len(part), len(part)) for part in (RIVER, MONEY)]
)
own_only = (own - torch.eye(len(own))).bool()
same = [float(layer[own_only].mean()) for layer in alike]
different = [float(layer[own == 0].mean()) for layer in alike]

# %%
shown = [
    f"{kind} {number}"
    for kind, part in (("river", RIVER), ("money", MONEY))
    for number in range(1, len(part) + 1)
]

# %%
heat(
    "How alike the vectors of *bank* are in six sentences, in the last layer",
    alike[-1],
    shown,
    shown,
    corner="bank",
)
curves(
    "Layer by layer: banks of one kind, and of two kinds. Layer zero is what "
    "the first layer reads.",
    "layer",
    "mean cosine",
    list(range(len(same))),
    {"the same kind": same, "different kinds": different},
)
claim(
    f"Before the first layer banks of different kinds are {different[0]:.2f} "
    "alike; only their places differ. After the last, those of one kind are "
    f"{same[-1]:.2f} alike and those of different kinds {different[-1]:.2f}.",
    different[0] > 0.8 and same[-1] > different[-1] + 0.1,
)

# %%
tell(
    """
    ## How it learns: hidden words

    Who sees both sides cannot be taught to guess the next word, for it is
    there to be seen. So words are hidden, and have to be found: the first
    task of section 3.1.
    """
)


# %%
PLAY = ROOT / "lessons" / "data" / "romeo_and_juliet.txt"
ids = tokenizer.encode(PLAY.read_text(encoding="utf-8"))
special = {reader.framing.summary, reader.framing.separator}
masking = Masking(tokenizer.mask, tokenizer.size)
random, fates, total = Random(6), Counter(), 0
for part in torch.tensor(ids).split(126):
    framed, _ = reader.framing.frame(part.tolist())
    hidden = masking.hide(framed, special, random)
    total += len(framed)
    for place, word in zip(hidden.positions, hidden.words, strict=True):
        now = hidden.ids[place]
        kept, masked = now == word, now == tokenizer.mask
        fates["as it is" if kept else "`[MASK]`" if masked else "another"] += 1
chosen = sum(fates.values())
shares = {name: number / chosen for name, number in fates.items()}

# %%
source(Masking.hide)
table(
    "What becomes of the words which are to be found, in Romeo and Juliet",
    ["stands there now", "words", "share"],
    [[name, fates[name], f"{share:.1%}"] for name, share in shares.items()],
)
claim(
    f"Of {total:,} tokens of the play {chosen:,} are to be found, "
    f"{chosen / total:.1%}. {shares['`[MASK]`']:.0%} of them are replaced by "
    f"the mask, {shares['another']:.0%} by any other piece, and "
    f"{shares['as it is']:.0%} stay. So BERT cannot know which words it will "
    "be asked for, and must make something of all of them.",
    abs(chosen / total - masking.share) < 0.01
    and abs(shares["`[MASK]`"] - 0.8) < 0.03
    and abs(shares["another"] - shares["as it is"]) < 0.03,
)

# %%
tell(
    """
    ## A small BERT which learns before your eyes

    MiniLM has read very much, and came without the layer which guesses
    words. So we train a small BERT from nothing, on a text of stories about
    animals, which all go like this one:
    """
)

# %%
TEXT = ROOT / "lessons" / "data" / "animals.txt"
STORIES = TEXT.read_text(encoding="utf-8").strip().split("\n\n")
words = Tokenizer.train(
    [line for told in STORIES for line in told.splitlines()],
    kind="bert",
    vocabulary=300,
    lowercase=True,
)
store = SentenceStore.build(
    Path(mkdtemp()) / "stories",
    Corpus(str(TEXT), documents="paragraphs").read(),
    words,
    sentences="lines",
)
framing = words.framing(is_last=False)
batches = MaskedSequences(
    store, Unpaired(), Masking(words.mask, words.size), framing, 32, 1024
)
torch.manual_seed(6)
WIDTH, STEPS = 64, 240
model = MaskedWords(
    BERT(
        BERTConfig(
            vocabulary=words.size,
            context=32,
            width=WIDTH,
            depth=1,
            heads=4,
            hidden=4 * WIDTH,
            dropout=0.0,
            attention_dropout=0.0,
            pools=False,
        )
    )
)
with torch.no_grad():  # BERT's start is published for a width of 768
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(math.sqrt(768 / WIDTH))
small = Reader(model, words)
STORY = (
    "On Sunday Anna saw a dog. It barks and eats bones. "
    "It sleeps in the kennel. Its young is a puppy."
)
ASKED = {
    word: STORY.replace(word, "[MASK]")
    for word in ("dog", "bones", "puppy", "Sunday")
}


def guesses():
    """Give the likeliest words behind each mask."""
    return {
        word: {own.piece: own.probability for own in small.fill(asked)[0]}
        for word, asked in ASKED.items()
    }


before = guesses()
objective = MaskedLoss(model)
optimiser = adamw([scaled(objective.parameters())], 0.01, 0.99)
losses = []
for step, (item, _) in zip(
    range(1, STEPS + 1), batches.plan(Cursor()), strict=False
):
    loss = objective(*batches.batch(item).parts)
    objective.zero_grad()
    (loss.total / loss.tokens).backward()
    torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
    for group in optimiser.param_groups:
        group["lr"] = 5e-3 * min(1, step / 20, 2.02 - 2 * step / STEPS)
    optimiser.step()
    losses.append(float(loss.total.detach()) / loss.tokens)
after = guesses()


# %%
def draw_guesses():
    """Draw the likeliest words behind each mask."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.2, 4.0), layout="constrained")
    panels = drawn.subplots(2, 2).flatten()
    for axes, (word, own) in zip(panels, after.items(), strict=True):
        names = list(own)[::-1]
        drawn_bars = axes.barh(
            names, [own[name] for name in names], color="#0072b2"
        )
        axes.bar_label(drawn_bars, fmt="%.2f", padding=3, fontsize=8)
        axes.set(xlim=(0, 1.15), xticks=(0, 0.5, 1))
        axes.set_title(f"instead of “{word}”", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn


# %%
claim(
    f"> {STORY}\n\n"
    f"{len(STORIES)} such stories, {words.size} different words. The model "
    f"has one layer and {sum(p.numel() for p in model.parameters()):,} "
    "numbers to learn. This is what stands on the encoder: a layer, and then "
    "the table of word vectors once more.",
    STORY.replace(". ", ".\n") in STORIES,
)
source(MaskedWords.read, MaskedWords.forward, MaskedLoss.forward)
curves(
    "The loss on hidden words, in nats",
    "step",
    "nats a hidden word",
    list(range(1, STEPS + 1, 8)),
    {
        "loss": [
            float(np.mean(part)) for part in np.split(np.array(losses), 30)
        ]
    },
)
figure(
    draw_guesses(),
    "What may stand behind each mask, after learning",
    "Bars for four hidden words. Dog, bones and puppy are found with a "
    "probability near one; the days of the week share the probability of "
    "the day.",
    ["hidden", "guess", "probability"],
    [
        [word.lower(), guess, share]
        for word, own in after.items()
        for guess, share in own.items()
    ],
)
table(
    "The likeliest word, before and after learning",
    ["hidden", "before", "probability", "after", "probability"],
    [
        [
            word.lower(),
            *next(iter(before[word].items())),
            *next(iter(own.items())),
        ]
        for word, own in after.items()
    ],
)

# %%
known = [word for word in ASKED if word != "Sunday"]
days = {story.split()[1] for story in STORIES}

# %%
claim(
    "What can be known it knows: *dog* from what follows it, *puppy* from "
    "what stands before it, *bones* from both sides. What cannot be known it "
    f"does not pretend to know: the day has {len(days)} answers, and the "
    f"likeliest of them, *{next(iter(after['Sunday']))}*, gets "
    f"{max(after['Sunday'].values()):.0%}.",
    all(after[word][word] > 0.6 for word in known)
    and max(after["Sunday"].values()) < 0.4
    and {day.lower() for day in days} >= set(after["Sunday"]),
)

# %%
tell(
    """
    ## How it learns: which sentence is next

    The second task of section 3.1: two texts are read together, and what
    stands over `[CLS]` must tell whether the second follows the first, or
    comes from elsewhere. It was meant for questions with answers and for
    pairs of sentences; later papers found that it helps little, and ALBERT
    asks for the order of two neighbours instead.
    """
)


# %%
passages = [
    (document, passage)
    for document in range(60)
    for passage in NextSentence().drawn(store, document, 29, Random(document))
]
labels = [passage.label for _, passage in passages]
examples = [
    next(one for one in passages[20:] if one[1].label == label)
    for label in (0, 1)
]

# %%
table(
    "Two examples of the task",
    ["first text", "second text", "label"],
    [
        [
            words.decode(store.ids(*passage.first)),
            words.decode(store.ids(*passage.second)),
            ("next", "from elsewhere")[passage.label],
        ]
        for _, passage in examples
    ],
)
claim(
    f"Of {len(labels)} pairs {np.mean(labels):.0%} come from elsewhere. It is "
    "to be half of them; as in the authors' code, a stretch of one sentence "
    "alone always gets a text from elsewhere, so that it is more.",
    0.4 < float(np.mean(labels)) < 0.85,
)
source(MaskedWordsAndPair.both)

# %%
tell("## How large it is")


# %%
with torch.device("meta"):
    sized = {
        **{name: BERT(BERT_SIZES[name]) for name in ("base", "large")},
        "MiniLM": BERT(config),
    }


def parts_of(model):
    """Count the numbers of each part of a model."""
    found = Counter()
    for name, parameter in model.named_parameters():
        first = name.split(".")[0]
        part = {"token": "words", "position": "places", "blocks": "layers"}
        found[part.get(first, "the rest")] += parameter.numel()
    return found


sizes = {name: sum(parts_of(own).values()) for name, own in sized.items()}

PUBLISHED = {"base": 110, "large": 340}  # millions, section 3

# %%
table(
    "The published sizes (section 3), and MiniLM",
    ["", "layers L", "width H", "heads A", "words", "layers", "all numbers"],
    [
        [
            name,
            own.config.depth,
            own.config.width,
            own.config.heads,
            parts_of(own)["words"],
            parts_of(own)["layers"],
            sizes[name],
        ]
        for name, own in sized.items()
    ],
)
bars(
    "Where the numbers of BERT base are",
    "millions",
    {
        name: number / 1e6
        for name, number in parts_of(sized["base"]).most_common()
    },
)
claim(
    f"The paper counts {PUBLISHED['base']} and {PUBLISHED['large']} millions; "
    f"here they are {sizes['base']:,} and {sizes['large']:,}, and MiniLM has "
    f"{sizes['MiniLM']:,}.",
    all(
        abs(sizes[name] / 1e6 - millions) < 0.02 * millions
        for name, millions in PUBLISHED.items()
    ),
)

# %%
try:
    minilm.hidden(Packed.of([[0] * (config.context + 1)]))
    refused = ""
except ValueError as error:
    refused = str(error)
looks = config.depth * config.heads * config.context**2


# %%
question(
    "Why can BERT not be trained to guess the next word, as GPT is?",
    "Because it sees it. A vector may depend on all words: when *river* "
    "became *street*, the one of the word before it moved by "
    f"{moved['BERT'][river - 1]:.0%} in BERT and by "
    f"{moved['GPT'][river - 1]:.0%} in GPT. To find a word which one may "
    "look at is no task.",
    moved["BERT"][river - 1] > 0.05 and moved["GPT"][river - 1] < 1e-5,
)
question(
    "Why are some of the chosen words replaced by others, or left alone?",
    "Because there are no masks later, when BERT is used. Of the chosen "
    f"words {shares['`[MASK]`']:.0%} were masks. If all were, a vector of a "
    "word that is not masked would never be asked for anything; so "
    f"{shares['as it is']:.0%} stay as they are, and since another "
    f"{shares['another']:.0%} are wrong, what stands there cannot just be "
    "repeated.",
    shares["`[MASK]`"] > 0.7 and min(shares.values()) > 0.05,
)
question(
    "How long a text can BERT read at once, and why not a longer one?",
    f"As long as there are positions in its table: {config.context} pieces. "
    f"One more is refused: *{refused}*. And each layer compares all with "
    f"all: {looks:,} weights for one such text in MiniLM, four times as many "
    "for twice the length.",
    bool(refused)
    and sized["MiniLM"].position.weight.shape[0] == config.context,
)

#!/usr/bin/env python3
"""How attention is applied to recurrent networks: RNNsearch against its past.

Two systems of 2014 learn the same thing for the same time, one with attention
and one without, and are compared by the length of what they are given.
"""

import random
import re
from time import process_time

import torch
from torch import nn

from regard import Translator, recording, without_heads
from regard.evaluate.scores import exact_match
from regard.layers.attention import AdditiveAttention
from regard.layers.recurrent import GRU
from regard.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from regard.models.rnnsearch import RNNSearch, RNNSearchConfig
from regard.objectives.translation import Translation
from regard.text.tokenizer import Tokenizer
from regard.visualise.view import pictures

from page import (
    DATA,
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
    "How is attention applied to recurrent networks?",
    "A recurrent network reads word by word and keeps what it has read in "
    "one state of a fixed size, from which a second network then has to "
    "write the whole translation.",
    "With attention the states of all words are kept, and before each word "
    "is written they are mixed anew, with the largest share for those which "
    "are needed now.",
    "So nothing has to be squeezed through one state, long sentences come "
    "out as well as short ones, and the shares show which word was written "
    "from which.",
)

# %%
tell(
    r"""
    ## One state for everything

    A recurrent network has a state $h$, which each word changes. How much
    it may change is decided by gates (Cho et al. 2014, section 2.3):

    $$r = \sigma(W_r x + U_r h)$$

    $$z = \sigma(W_z x + U_z h)$$

    $$\tilde{h} = \tanh(W x + U (r \odot h))$$

    $$h' = z \odot \tilde{h} + (1 - z) \odot h$$

    The reset gate $r$ says what of the past to forget while the candidate
    $\tilde{h}$ is made, the update gate $z$ how much of it to let in. (So
    the authors' code has it; in the paper's text old and new have changed
    places.)
    """
)
source(GRU.step)
tell(
    """
    The RNN Encoder-Decoder of the same paper reads a sentence with one
    such unit. Its last state is the *summary*, and all that a second unit,
    which writes the translation, gets to know of the sentence:
    """
)
source(EncoderDecoder.summarise)

# %%
tell(
    """
    ## A language to translate into

    Pig Latin is English in which the consonants before the first vowel of
    a word go to its end, followed by *ay*. It takes no dictionary, but
    every letter matters, and every length can be had. The phrases are cut
    out of *Romeo and Juliet*.
    """
)


# %%
def pig_latin(phrase: str) -> str:
    """Say an English phrase in Pig Latin."""
    words = phrase.split()
    return " ".join(
        re.sub(r"^([^aeiou]*)(.*)$", r"\2\1ay", word) for word in words
    )


def phrases_of(play: str, longest: int) -> list[str]:
    """Find every phrase within a line of up to so many letters."""
    found = set()
    for line in play.lower().splitlines():
        words = [] if line.endswith(":") else re.findall(r"[a-z]+", line)
        for first in range(len(words)):
            for last in range(first + 1, len(words) + 1):
                found.add(" ".join(words[first:last]))
    return sorted(phrase for phrase in found if len(phrase) <= longest)


chance = random.Random(1)
phrases = phrases_of((DATA / "romeo_and_juliet.txt").read_text(), 32)
chance.shuffle(phrases)
held_out: dict[int, list[str]] = {}  # by length, none of them trained on
learned = []
LONGEST = 20  # letters of what is trained on
for phrase in phrases:
    group = held_out.setdefault((len(phrase) + 3) // 4 * 4, [])
    if len(group) < 60:
        group.append(phrase)
    elif len(phrase) <= LONGEST:
        learned.append(phrase)
example = "wherefore art thou romeo"

# %%
claim(
    f"There are {len(phrases):,} phrases of up to thirty-two letters. The "
    f"networks learn from {len(learned):,} of them, none longer than "
    f"{LONGEST} letters, and are tested on {sum(map(len, held_out.values()))}"
    " others of every length. For instance:",
    max(map(len, learned)) <= LONGEST < max(held_out)
    and not set(learned) & {p for own in held_out.values() for p in own},
)
table(
    "Phrases and their translations.",
    ["English", "Pig Latin"],
    [[phrase, pig_latin(phrase)] for phrase in [example, *learned[:3]]],
)

# %%
tell(
    r"""
    ## Attention instead of a summary

    Bahdanau, Cho and Bengio (2014) change two things. The encoder reads the
    sentence in both directions, and keeps for each word $j$ an
    *annotation*, the states of both units after it (section 3.2):

    $$h_j = [\overrightarrow{h}_j; \overleftarrow{h}_j]$$
    """
)
source(RNNSearch.annotate)
tell(
    r"""
    And the decoder, before it writes word $i$, compares its state
    $s_{i-1}$, the query, with each annotation. A small network does that
    (appendix A.1.2), which Vaswani et al. later called *additive*
    attention:

    $$e_{ij} = v_a^\top \tanh(W_a s_{i-1} + U_a h_j)$$

    The scores become shares (section 3.1, equation 6), and the shares a
    mixture of annotations (equation 5), the *context* of word $i$:

    $$\alpha_{ij} = \frac{\exp(e_{ij})}{\sum_{k=1}^{T_x} \exp(e_{ik})}$$

    $$c_i = \sum_{j=1}^{T_x} \alpha_{ij} h_j$$
    """
)
source(AdditiveAttention)
tell("One step of the decoder then is this:")
source(RNNSearch.step)

# %%
torch.manual_seed(1)
layer = AdditiveAttention(query_width=5, key_width=8, hidden=6)
state, annotations = torch.randn(1, 1, 5), torch.randn(1, 7, 8)
context, shares = layer(
    state,
    layer.key(annotations),
    annotations,
    torch.ones(1, 7, dtype=torch.bool),
)
W, U, v = layer.query.weight, layer.key.weight, layer.energy.weight[0]
energies = torch.stack(
    [v @ torch.tanh(W @ state[0, 0] + U @ h) for h in annotations[0]]
)
alpha = energies.exp() / energies.exp().sum()
c = sum(a * h for a, h in zip(alpha, annotations[0], strict=True))
off = max(
    (alpha - shares[0, 0]).abs().max().item(),
    (c - context[0, 0]).abs().max().item(),
)

# %%
claim(
    "Written out word by word as in the paper, the equations give what the "
    f"layer gives, to {off:.0e}.",
    off < 1e-6,
)

# %%
tell(
    r"""
    ## Cheaper scores

    Luong et al. (2015), section 3.1, put no network between the state $s$
    of the decoder and a state $h$ of the encoder. The *dot* score compares
    them as they are, the *general* score through a matrix which is learnt:

    $$\mathrm{dot}(s, h) = s^\top h$$

    $$\mathrm{general}(s, h) = s^\top W_a h$$

    Both are one product of matrices for all words at once. And a matrix can
    be made of two, $W_a = W_Q^\top W_K$: then the general score is the dot
    score of $W_Q s$, a *query*, and $W_K h$, a *key*. So the Transformer
    has it, which also divides by a root, so that scores do not grow with
    the width.
    """
)

# %%
WQ, WK = torch.randn(3, 5), torch.randn(3, 8)
general = torch.stack([state[0, 0] @ (WQ.T @ WK) @ h for h in annotations[0]])
dots = (annotations[0] @ WK.T) @ (WQ @ state[0, 0])
apart = (general - dots).abs().max().item()
additive = sum(weight.numel() for weight in layer.parameters())

# %%
claim(
    "The general score is the dot score of queries and keys, to "
    f"{apart:.0e}. For states of {WQ.shape[1]} and {WK.shape[1]} numbers the "
    f"matrix has {WQ.shape[1] * WK.shape[1]} weights, and the additive layer "
    f"above has {additive}; the dot score has none, and takes states of one "
    "width.",
    apart < 1e-5 and WQ.shape[1] * WK.shape[1] < additive,
)

# %%
tell(
    """
    ## Both learn

    The two systems have units of the same width. The paper starts its
    networks of a thousand units from very small random weights; networks
    as narrow as these learn faster from Glorot's start. The system without
    attention is given more steps, since its steps are quicker.

    While they learn, the decoder reads the right letters before the one it
    is to write, whatever it would have written itself. This is *teacher
    forcing* (after Williams and Zipser, in 1989): all places of a sentence
    are learnt from at once, and an early mistake spoils none of the others.
    When it translates there is no teacher, and it reads what it wrote.
    """
)

# %%
tokenizer = Tokenizer.train(
    (side for phrase in learned for side in (phrase, pig_latin(phrase))),
    kind="characters",
    vocabulary=None,
)
letters = {
    "source_vocabulary": tokenizer.size,
    "target_vocabulary": tokenizer.size,
}
sizes = {"embedding": 32, "width": 64, "maxout": 32, **letters}


def train(model: nn.Module, steps: int, rate: float = 0.01) -> list[float]:
    """Train a system, and give the loss a letter at every step."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and not re.search("gates|candidate", name):
            nn.init.xavier_uniform_(weight)
    objective = Translation(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: min(1.0, (n + 1) / 50) * (1 - n / steps)
    )
    pack, losses = Translator(model, tokenizer, tokenizer).pack, []
    for _ in range(steps):
        batch = chance.sample(learned, 48)
        targets = [pig_latin(phrase) for phrase in batch]
        loss = objective(pack(batch, tokenizer), pack(targets, tokenizer))
        mean = loss.total / loss.tokens
        optimiser.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(mean.item())
    return losses


# %%
torch.manual_seed(1)
torch.set_num_threads(1)  # networks as small as these gain nothing from more
systems = {
    "without attention": EncoderDecoder(EncoderDecoderConfig(**sizes)),
    "with attention": RNNSearch(RNNSearchConfig(alignment=64, **sizes)),
}
steps = {"without attention": 500, "with attention": 260}
losses, seconds = {}, {}
for name, model in systems.items():
    started = process_time()
    losses[name] = train(model, steps[name])
    seconds[name] = process_time() - started
parameters = {
    name: sum(weight.numel() for weight in model.parameters())
    for name, model in systems.items()
}

# %%
table(
    "What each system had, and its loss at the end, in nats a letter.",
    ["system", "parameters", "steps", "seconds", "final loss"],
    [
        [
            name,
            parameters[name],
            steps[name],
            f"{seconds[name]:.0f}",
            f"{sum(losses[name][-20:]) / 20:.3f}",
        ]
        for name in systems
    ],
)
curves(
    "The loss by the share of the training which is over.",
    "share of the training, %",
    "nats a letter",
    list(range(0, 100, 2)),
    {
        name: [own[n * len(own) // 50] for n in range(50)]
        for name, own in losses.items()
    },
)

# %%
translators = {
    name: Translator(model, tokenizer, tokenizer)
    for name, model in systems.items()
}
lengths = sorted(held_out)
exact = {
    name: [
        exact_match(
            translator.translate(held_out[n], beams=1, length_penalty=0.0),
            [pig_latin(phrase) for phrase in held_out[n]],
        )
        for n in lengths
    ]
    for name, translator in translators.items()
}
known = [n for n in lengths if n <= LONGEST]
last = known.index(LONGEST)

# %%
tell(
    """
    ## Quality by length

    Figure 2 of Bahdanau et al. (2014) is the reason why attention was
    noticed: without it, translations of long sentences fall apart. The same
    figure in small:
    """
)
curves(
    "Phrases which are translated without one wrong letter, by their length.",
    "letters of the phrase, up to",
    "exact, %",
    lengths,
    exact,
    prepare=lambda axes: axes.axvline(LONGEST, color="0.6", linestyle=":"),
)
claim(
    f"Without attention, {exact['without attention'][1]:.0f} % of the "
    f"phrases of {lengths[0] + 1} to {lengths[1]} letters come out right, and "
    f"{exact['without attention'][last]:.0f} % of those of "
    f"{lengths[last - 1] + 1} to {LONGEST}; with attention "
    f"{exact['with attention'][1]:.0f} % and "
    f"{exact['with attention'][last]:.0f} %.",
    exact["without attention"][last] < 20
    and exact["with attention"][last] > 60
    and exact["with attention"][1] > 60,
)
claim(
    "Neither was trained on what lies to the right of the dotted line. "
    f"Attention carries over there, to {exact['with attention'][last + 1]:.0f}"
    f" % of {LONGEST + 1} to {lengths[last + 1]} letters, but not without "
    f"end: at the longest it is {exact['with attention'][-1]:.0f} %.",
    exact["with attention"][last + 1] > exact["without attention"][last + 1]
    and exact["with attention"][-1] < exact["with attention"][last],
)
table(
    "What both make of three phrases.",
    ["English", *systems],
    [
        [phrase, *(own.translate([phrase])[0] for own in translators.values())]
        for phrase in ["good night", example, held_out[24][0]]
    ],
)

# %%
tell(
    """
    ## What it looked at

    Nobody told the network which letter comes from which. It had to find
    that out to get the letters right, and its shares tell: a row is a
    letter which is written, a column one which is read.
    """
)

# %%
reader = translators["with attention"]
sources = reader.pack([example], tokenizer)
targets = reader.pack([pig_latin(example)], tokenizer)
with recording(reader) as maps:
    reader.model(sources, targets)
looked = maps["attention"][0, 0]
columns = [*example.replace(" ", "␣"), "end"]
rows = [*pig_latin(example).replace(" ", "␣"), "end"]


def hits(phrase: str) -> list[bool]:
    """Say of each letter of a translation if most was read from its like."""
    read = reader.pack([phrase], tokenizer)
    written = reader.pack([pig_latin(phrase)], tokenizer)
    with recording(reader) as maps:
        reader.model(read, written)
    best = maps["attention"][0, 0].argmax(-1)
    ends = re.sub("ay( |$)", "__.", pig_latin(phrase))  # added, not read
    return [
        bool(hit)
        for hit, letter in zip(
            read.tokens[best] == written.tokens, ends, strict=True
        )
        if letter.isalpha()
    ]


found = [hit for phrase in held_out[LONGEST] for hit in hits(phrase)]
right = sum(found) / len(found)

# %%
heat(
    "How much of each letter stands in the context of each letter written.",
    looked,
    rows,
    columns,
    corner="written, read",
)
claim(
    f"Of {len(found):,} letters in translations of {LONGEST - 3} to "
    f"{LONGEST} letters, leaving out each *ay*, {right:.0%} were written "
    "with the largest share on the very letter of the source.",
    right > 0.6,
)
attention(
    "Three phrases to point at, with the shares of each letter",
    pictures(reader, ["good night", example, "parting is such sweet"]),
)

# %%
with without_heads(reader, {"attention": [0]}):
    blind = exact_match(
        reader.translate(held_out[8], beams=1, length_penalty=0.0),
        [pig_latin(phrase) for phrase in held_out[8]],
    )
short, long = "o", "parting is such sweet sorrow"
handed = {}
for phrase in (short, long):
    packed = reader.pack([phrase], tokenizer)
    handed[phrase] = (
        systems["without attention"].summarise(packed).numel(),
        systems["with attention"].annotate(packed)[0].numel(),
    )
moves = len(set(looked.argmax(-1).tolist()))

# %%
question(
    "How much does the encoder hand over to the decoder?",
    f"Without attention {handed[short][0]} numbers, be it for one letter or "
    f"for {len(long)}. With it, the annotations: {handed[short][1]} numbers "
    f"for one letter, {handed[long][1]:,} for {len(long)}; each letter, and "
    "the end, has as many.",
    handed[short][0] == handed[long][0]
    and handed[long][1] * 2 == handed[short][1] * (len(long) + 1),
)
question(
    "Does the network with attention need it, or could it do without?",
    "Leave the context out of a trained network, and of phrases up to eight "
    f"letters {blind:.0f} % come out right, where it was "
    f"{exact['with attention'][1]:.0f} %.",
    blind < exact["with attention"][1] / 2,
)
question(
    "Why are the shares computed anew for each letter?",
    "Because the query is the state of the decoder, and that changes with "
    f"every letter it writes. Over the {len(rows)} steps of the example the "
    f"largest share lies on {moves} different places. The price is that "
    "step after step must wait for the one before; the next lesson removes "
    "that.",
    moves > len(rows) / 2,
)

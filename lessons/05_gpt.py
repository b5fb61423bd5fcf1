#!/usr/bin/env python3
"""What GPT is: the decoder alone, which goes on with a text; and its heirs."""

import math
import re
from collections import Counter
from itertools import pairwise
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regard import Packed, Writer
from regard.attention.masks import banded, causal
from regard.decoding.sample import Sampling
from regard.models.gpt import GPT, GPT_SIZES, GPTEncoder
from regard.models.gpt2 import GPT2, GPT2_SIZES, GPT2Config, GPT2Encoder
from regard.models.gpt3 import GPT3, GPT3_SIZES
from regard.models.heads import Classifier
from regard.objectives.labels import Classes
from regard.objectives.next_token import NextToken
from regard.text.framing import GPTFraming
from regard.text.tokenizer import Tokenizer
from regard.visualise.view import pictures

from page import (
    DATA,
    attention,
    bars,
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
    "What is GPT, and what are GPT-2 and GPT-3?",
    "GPT is the decoder of a transformer by itself: at every place of a text "
    "it says how probable each token is to come next.",
    "It learns from plain text alone, since every text holds the answers, "
    "and it writes by drawing a token, adding it to the text, and asking "
    "again.",
    "GPT-2 and GPT-3 are nearly the same network, made larger more than a "
    "thousandfold, until a task no longer had to be trained but could be "
    "shown by examples in the text itself.",
)

# %%
tell(
    r"""
    ## One objective, one stack

    Radford et al. (2018), section 3.1, equation 1, make the tokens
    $u_1, \ldots, u_n$ of a text as probable as they can be, each given the
    $k$ before it:

    $$L_1(U) = \sum_i \log P(u_i \mid u_{i-k}, \ldots, u_{i-1}; \Theta)$$

    by a decoder (equation 2) whose input are tokens and places, $W_e$ and
    $W_p$, both learned, and whose output is compared with the embeddings of
    all tokens:

    $$h_0 = U W_e + W_p$$

    $$h_l = \mathrm{transformer\_block}(h_{l-1})$$

    $$P(u) = \mathrm{softmax}(h_n W_e^\top)$$

    There is no source, and so no second attention: one mask does it all.
    """
)
source(GPT.embed, GPT.forward, GPT._read)

# %%
tell(
    """
    ## From GPT to GPT-2 to GPT-3

    What GPT-2 changed is the whole of its file in regard:
    """
)
source(GPT2)
tell(
    """
    And GPT-3 is "the same model and architecture as GPT-2, [...] with the
    exception that we use alternating dense and locally banded sparse
    attention patterns" (Brown et al. 2020, section 2.1):
    """
)
source(GPT3)

# %%
PUBLISHED = {  # parameters, as the three papers count them
    "GPT": {"117M": 117e6},
    "GPT-2": {"124M": 117e6, "355M": 345e6, "774M": 762e6, "1558M": 1542e6},
    "GPT-3": {
        "125M": 125e6,
        "350M": 350e6,
        "760M": 760e6,
        "1.3B": 1.3e9,
        "2.7B": 2.7e9,
        "6.7B": 6.7e9,
        "13B": 13e9,
        "175B": 175e9,
    },
}
KINDS = {
    "GPT": (GPT, GPT_SIZES),
    "GPT-2": (GPT2, GPT2_SIZES),
    "GPT-3": (GPT3, GPT3_SIZES),
}


def count(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(weight.numel() for weight in model.parameters())


counted, largest = {}, {}
with torch.device("meta"):  # shapes without numbers: nothing is stored
    for name, sizes in PUBLISHED.items():
        kind, configs = KINDS[name]
        for size in sizes:
            largest[name] = kind(configs[size])
            counted[name, size] = count(largest[name])
off = {
    (name, size): abs(counted[name, size] / number - 1)
    for name, sizes in PUBLISHED.items()
    for size, number in sizes.items()
}
growth = counted["GPT-3", "175B"] / counted["GPT", "117M"]

# %%
table(
    "The largest of each, as regard builds it.",
    ["", "layers", "width", "heads", "context", "block", "sees a band"],
    [
        [
            name,
            model.config.depth,
            model.config.width,
            model.config.heads,
            model.config.context,
            type(model.blocks[0]).__name__,
            sum(mask is not causal() for mask in model.masks()),
        ]
        for name, model in largest.items()
    ],
)
bars(
    "Parameters, counted in regard's models.",
    "million parameters",
    {
        f"{name} {PUBLISHED[name][size] / 1e6:,.0f}M": number / 1e6
        for (name, size), number in counted.items()
    },
    prepare=lambda axes: axes.set(xscale="log"),
)
claim(
    "The names are the papers' own counts. GPT-2's paper counts its smallest "
    f"model {off['GPT-2', '124M']:.0%} too low; all others are within "
    f"{max(v for k, v in off.items() if k != ('GPT-2', '124M')):.0%}. From "
    f"GPT to GPT-3 it is {growth:,.0f} times as many, in two years.",
    max(v for k, v in off.items() if k != ("GPT-2", "124M")) < 0.05
    and growth > 1000,
)
heat(
    "The band of every second layer of GPT-3, drawn with a width of four: "
    "which places (across) each place (down) may see.",
    banded(4).dense(1, 1, 10, 10),
    [str(n) for n in range(10)],
    [str(n) for n in range(10)],
    form=".0f",
    corner="place, may see",
)

# %%
tell(
    """
    ## From text to tokens

    A network reads numbers, and so a text is first cut into pieces, each of
    which has a number. Whole words would be too many, and a new one would
    have no number; single letters make texts long. GPT cuts by *byte pair
    encoding* (Sennrich et al. 2016): it begins with letters, and joins the
    two neighbours which stand beside each other most often into a new
    piece, again and again, until there are as many pieces as are wanted.
    No pair is joined across words; a space belongs to the word after it.
    GPT-2 begins with bytes (section 2.2), so that no text is unknown to it.
    By hand:
    """
)

# %%
play = (DATA / "romeo_and_juliet.txt").read_text()
WORDS = r"'(?:s|t|re|ve|m|ll|d)| ?[a-zA-Z]+| ?[0-9]+| ?[^\sa-zA-Z0-9]+|\s+"


def join(parts: list[str], first: str, second: str) -> list[str]:
    """Make one piece of the two wherever they are neighbours."""
    found: list[str] = []
    for part in parts:
        if found and (found[-1], part) == (first, second):
            found[-1] += part
        else:
            found.append(part)
    return found


def merges_of(text: str, number: int) -> list[str]:
    """Find the pieces which are joined first."""
    words = Counter(
        word for line in text.splitlines() for word in re.findall(WORDS, line)
    )
    cut = {word: list(word) for word in words}
    joined = []
    for _ in range(number):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in cut.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        first, second = max(pairs, key=lambda pair: pairs[pair])
        joined.append(first + second)
        cut = {word: join(parts, first, second) for word, parts in cut.items()}
    return joined


LINE = "O Romeo, Romeo! wherefore art thou Romeo?"
cutters = {
    size: Tokenizer.train(play.splitlines(), kind="bytes", vocabulary=size)
    for size in (259, 300, 500, 1000, 2000)  # of which three are no bytes
}
bytes_alone, *_, largest_cutter = cutters.values()
by_hand = merges_of(play, 12)
learnt = [largest_cutter.decode([259 + n]) for n in range(len(by_hand))]
tokens_of = {size: len(cut.encode(play)) for size, cut in cutters.items()}
strange = "naïve 猫"

# %%
table(
    "A line as it is cut, by how many pieces there are, and how many tokens "
    "the play has then. A dot stands where a piece goes on with a word; "
    "␣ is a space which is joined to none.",
    ["pieces", "the line", "tokens of the play"],
    [
        [size, " ".join(cut.pieces(cut.encode(LINE))), tokens_of[size]]
        for size, cut in cutters.items()
    ],
)
claim(
    f"The first {len(by_hand)} pieces which are joined by hand, "
    + ", ".join(f"*{piece.replace(' ', '␣')}*" for piece in by_hand)
    + ", are those of regard's tokenizer.",
    by_hand == learnt,
)
claim(
    f"With {largest_cutter.size:,} pieces the play is "
    f"{tokens_of[259] / tokens_of[2000]:.1f} times as short as in bytes, and "
    "frequent words are whole. What it has never seen is cut into more "
    f"pieces, and lost is nothing: *{strange}* becomes "
    f"{len(largest_cutter.encode(strange))} tokens, and they become "
    f"*{largest_cutter.decode(largest_cutter.encode(strange))}* again.",
    tokens_of[259] > 2.5 * tokens_of[2000]
    and largest_cutter.decode(largest_cutter.encode(strange)) == strange
    and "wherefore" in largest_cutter.pieces(largest_cutter.encode(LINE))
    and tokens_of[259] >= len(play.replace("\n", "")),
)

# %%
tell(
    """
    ## A small one learns *Romeo and Juliet*

    A GPT-2 of two layers reads the play letter by letter, so that it can
    learn in half a minute. Its last tenth is kept back to measure. Beside
    it stand three tables which just count: how often each letter comes, how
    often after each letter, and after each two letters.
    """
)

# %%
tokenizer = Tokenizer.train([play], kind="characters", vocabulary=None)
ids = torch.tensor(tokenizer.encode(play))
learned, kept_back = ids.tensor_split([len(ids) * 9 // 10])
CONTEXT = 64


def counting(order: int) -> float:
    """Nats a letter of a table of so many letters and the next one."""
    found: Counter[tuple[int, ...]] = Counter()
    for text in learned.unfold(0, order + 1, 1).tolist():
        found[tuple(text)] += 1
        found[(*text[:-1], -1)] += 1  # how often what stands before it
    nats = [
        math.log(
            (found[(*text[:-1], -1)] + 0.05 * tokenizer.size)
            / (found[tuple(text)] + 0.05)
        )
        for text in kept_back.unfold(0, order + 1, 1).tolist()
    ]
    return sum(nats) / len(nats)


def small(vocabulary: int, context: int, width: int) -> GPT2:
    """Make a GPT-2 so narrow that it needs larger weights to start from."""
    model = GPT2(
        GPT2Config(
            vocabulary=vocabulary,
            context=context,
            width=width,
            depth=2,
            heads=4,
            dropout=0.0,
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(3.5)
    return model


def rows_of(tokens: Tensor) -> Packed:
    """Pack rows [B, T] end to end."""
    lengths = torch.full((len(tokens),), tokens.shape[1])
    return Packed(tokens.flatten(), lengths)


# %%
torch.manual_seed(1)
torch.set_num_threads(1)  # networks as small as these gain nothing from more
model = small(tokenizer.size, CONTEXT, 128)
writer, objective = Writer(model, tokenizer), NextToken(model)
starts = torch.arange(0, len(kept_back) - CONTEXT, CONTEXT)
measured_on = torch.stack([kept_back[n:][: CONTEXT + 1] for n in starts])


def measure() -> float:
    """Nats a letter of what was kept back."""
    with torch.no_grad():
        loss = objective(rows_of(measured_on))
    return loss.total.item() / loss.tokens


def sample() -> str:
    """Let the model write a few words."""
    (text,) = writer.generate(["ROMEO:\n"], tokens=50, temperature=0.7)
    return " ".join(text.split())


STEPS = 360
optimiser = torch.optim.AdamW(
    model.parameters(), betas=(0.9, 0.98), weight_decay=0.1
)
at, measures, samples = [], [], []
for step in range(STEPS + 1):
    if step % 60 == 0:
        at.append(step)
        measures.append(measure())
        samples.append(sample())
    rate = 0.005 * min(1, (step + 1) / 40) * (1 - 0.95 * step / STEPS)
    optimiser.param_groups[0]["lr"] = rate
    places = torch.randint(len(learned) - CONTEXT, (9,)).tolist()
    batch = torch.stack([learned[n:][: CONTEXT + 1] for n in places])
    loss = objective(rows_of(batch))
    optimiser.zero_grad()
    (loss.total / loss.tokens).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
model.eval()
orders = {order: counting(order) for order in range(3)}
reaches = "below" if measures[-1] < orders[2] else "not yet below"

# %%
curves(
    "How well the kept tenth of the play is predicted.",
    "step",
    "nats a letter",
    at,
    {
        "GPT-2": measures,
        **{
            f"table of {words}": [orders[order]] * len(at)
            for order, words in enumerate(
                ("letters", "letters after one", "letters after two")
            )
        },
    },
)
claim(
    f"{count(model):,} parameters go from {measures[0]:.2f} nats a letter to "
    f"{measures[-1]:.2f}, below the tables of letters ({orders[0]:.2f}) and "
    f"of letters after one ({orders[1]:.2f}), and {reaches} that of letters "
    f"after two ({orders[2]:.2f}). Half a minute is short: the larger one "
    "in [the results](../docs/results.md) had hours.",
    measures[-1] < orders[1] - 0.15 < orders[0],
)
table(
    "What it writes after 'ROMEO:' while it learns.",
    ["step", "text"],
    [[step, text] for step, text in zip(at[::2], samples[::2], strict=True)],
)

# %%
tell(
    """
    ## Writing, letter by letter

    The model gives a probability to every letter. What is made of it is
    not part of the model: the most probable one may be taken, or one drawn.
    A *temperature* divides the scores first, `top_k` and `top_p` cut off
    what is improbable.
    """
)
source(Sampling.choose)

# %%
prompt = "JULIET:\nO Romeo, Rom"
steps, text, last = [], tokenizer.encode(prompt), None
cached: list[Tensor] = []
first_step = len(text) - 1  # the place whose scores are the first
computed = {"kept": first_step, "anew": 0}
with torch.no_grad():
    state = model.start(Packed.of([text]))
    for _ in range(16):
        scores, state = model.step(last, state)
        cached.append(scores[0])
        chances, best = scores[0].softmax(-1).topk(4)
        steps.append(
            [
                tokenizer.decode(text)[-12:].replace("\n", "⏎"),
                *(
                    f"{piece} {chance:.0%}"
                    for piece, chance in zip(
                        tokenizer.pieces(best.tolist()),
                        chances.tolist(),
                        strict=True,
                    )
                ),
            ]
        )
        computed["kept"] += 1
        computed["anew"] += len(text)
        last = best[:1]
        text.append(int(last))
    anew = model(Packed.of([text[:-1]]))[first_step:]
kept = (torch.stack(cached) - anew).abs().max().item()


def surprise(after: str, written: str) -> float:
    """Bits a letter which a text has for the model."""
    first = len(after) - 1  # the place which tells of the first letter
    ids = tokenizer.encode(after + written)
    with torch.no_grad():
        logs = model(Packed.of([ids]))[:-1].log_softmax(-1)
    own = logs.gather(1, torch.tensor(ids[1:])[:, None])
    return -own[first:].mean().item() / math.log(2)


temperatures = (0.0, 0.5, 1.0, 1.5)
drawn = {
    temperature: writer.generate(
        ["ROMEO:\n"] * 8, tokens=50, temperature=temperature, seed=1
    )
    for temperature in temperatures
}
bits = [
    sum(surprise("ROMEO:\n", own) for own in texts) / len(texts)
    for texts in drawn.values()
]

# %%
table(
    "Sixteen steps, with the four most probable letters at each; the first is "
    "taken.",
    ["the end of the text", "first", "second", "third", "fourth"],
    steps,
)
claim(
    "Keys and values of the letters before are kept, not computed anew; "
    f"the scores are the same to {kept:.0e}. With the prompt "
    f"{computed['kept']} letters went through the network; without what is "
    f"kept it would have been {computed['anew']}.",
    kept < 1e-4 and computed["kept"] * 10 < computed["anew"],
)
table(
    "What is written at four temperatures, and how surprising the model "
    "itself finds it.",
    ["temperature", "bits a letter", "text"],
    [
        [temperature, round(own, 2), " ".join(texts[0].split())]
        for (temperature, texts), own in zip(drawn.items(), bits, strict=True)
    ],
)
claim(
    f"At a temperature of {temperatures[0]:g} it is the same in all "
    f"{len(drawn[0.0])} drawings and goes in circles; the hotter, the more "
    f"surprising, up to {bits[-1]:.1f} bits a letter.",
    len(set(drawn[0.0])) == 1 and bits == sorted(bits),
)
attention(
    "What each letter attends to, and how surprising it was",
    pictures(writer, [prompt, "But soft, what light"], tokens=20),
)

# %%
tell(
    r"""
    ## The same network, tuned for a task

    The title of GPT's paper names both halves: "Improving Language
    Understanding by Generative Pre-Training". What has learnt to go on with
    texts is tuned by labels (section 3.2). A task is handed to it as a text
    between special tokens, which are new to it, and a matrix $W_y$ reads
    what the network makes of the last of them:

    $$P(y \mid x_1, \ldots, x_m) = \mathrm{softmax}(h_l^m W_y)$$

    Beside the labels it may go on learning the texts, with a share of
    $\lambda$ of the loss: $L_3 = L_2 + \lambda L_1$ (equation 5).
    """
)
source(GPTFraming.frame, GPTEncoder.forward)

# %%
chance = Random(5)
tasks = tokenizer.for_tasks()
framing = tasks.framing(is_last=True)
LABELS = ("as written", "shuffled")


def shuffled(line: str) -> str:
    """Put the letters of each word into another order."""
    words = [list(word) for word in line.split(" ")]
    for letters in words:
        chance.shuffle(letters)
    return " ".join("".join(letters) for letters in words)


def labelled(ids: Tensor, count: int) -> list[tuple[str, int]]:
    """Take lines of the play, half of them shuffled, and say which."""
    lines = tokenizer.decode(ids.tolist()).splitlines()
    lines = [line for line in lines if 30 <= len(line) <= 60]
    drawn = [
        (line, chance.randrange(2)) for line in chance.sample(lines, count)
    ]
    return [
        (shuffled(line) if label else line, label) for line, label in drawn
    ]


def batch_of(chosen: list[tuple[str, int]]) -> tuple[Packed, Tensor]:
    """Frame lines, and take their labels."""
    framed = [framing.frame(tasks.encode(line))[0] for line, _ in chosen]
    return Packed.of(framed), torch.tensor([label for _, label in chosen])


examples, asked = labelled(learned, 160), labelled(kept_back, 240)
ids, _ = framing.frame(tasks.encode("O Romeo"), tasks.encode("Nurse!"))

# %%
table(
    "A line and its label, four times.",
    ["line", "label"],
    [[line, LABELS[label]] for line, label in examples[:4]],
)
claim(
    "A pair of texts is read as "
    f"`{' '.join(tasks.pieces(ids))}`; a single text has no delimiter.",
    tasks.size == tokenizer.size + 3 and ids[-1] == framing.summary,
)


# %%
def tuned(knows: bool, share: float) -> list[float]:
    """Tune on the examples; the share of asked lines told right by epoch."""
    torch.manual_seed(2)
    start = small(tasks.size, CONTEXT, 128)
    encoder = GPT2Encoder(start.config)
    encoder.load_state_dict(start.state_dict())
    if knows:
        with torch.no_grad():
            for name, weight in encoder.named_parameters():
                known = model.get_parameter(name)
                weight[: len(known)] = known  # the new tokens keep theirs
    head = Classifier(encoder, LABELS)
    objective = Classes(head, share)
    optimiser = torch.optim.AdamW(head.parameters())
    updates, right = 60, []
    for step in range(updates):
        if step % 10 == 0:
            chance.shuffle(examples)
        rate = 0.002 * min(1, (step + 1) / 20) * (1 - step / updates)
        optimiser.param_groups[0]["lr"] = rate
        first = step % 10 * 16
        text, labels = batch_of(examples[first:][:16])
        loss = objective(text, None, labels)
        optimiser.zero_grad()
        (loss.total / loss.tokens).backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        if step % 10 == 9:
            text, labels = batch_of(asked)
            with torch.no_grad():
                hits = head.eval()(text).argmax(1) == labels
            right.append(hits.float().mean().item())
            head.train()
    return right


by_epoch = {
    "knows the play": tuned(True, 0.0),
    "the same, learning texts beside": tuned(True, 0.5),
    "knows nothing": tuned(False, 0.0),
}
knows, beside, fresh = (shares[-1] for shares in by_epoch.values())
epochs = len(by_epoch["knows nothing"])

# %%
curves(
    "Lines of the kept tenth which are told right.",
    "epoch",
    "right, %",
    list(range(1, epochs + 1)),
    {
        name: [100 * share for share in shares]
        for name, shares in by_epoch.items()
    },
)
claim(
    f"From {len(examples)} labelled lines the network which has read the play "
    f"has learnt after {epochs} epochs to tell {knows:.0%} right, and the "
    f"same network without that {fresh:.0%}. With the texts learnt beside "
    f"the labels it is {beside:.0%}; in the paper that helps with large sets "
    "of examples, and not with small ones (section 5).",
    knows > fresh + 0.08,
)

# %%
tell(
    """
    ## A task which is shown, not trained

    The title of GPT-3's paper is its finding: "Language Models are Few-Shot
    Learners". A few examples in the text, and a model which was trained for
    nothing but to go on with texts goes on with the task (section 2 and
    figure 2.1). This can be had small.

    Each text names working days and answers, such as *Mon? Wed. Thu? Mon.*
    It has a rule of its own, here *two working days later*, which is said
    nowhere. A GPT-2 of two layers reads many such texts. Then it is asked
    after none, one, two and more examples of a rule.
    """
)

# %%
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
SHOTS = 8


def appointments(count: int) -> Tensor:
    """Make texts [B, 16] of a day and its answer in turns."""
    later = torch.randint(len(DAYS), (count, 1))
    asked = torch.randint(len(DAYS), (count, SHOTS))
    answers = (asked + later) % len(DAYS) + len(DAYS)
    return torch.stack([asked, answers], -1).flatten(1)


def answering(texts: Tensor) -> Tensor:
    """Scores of each answer, [B, 8, V]."""
    scores = clerk(rows_of(texts))
    return scores.unflatten(0, texts.shape)[:, 0::2]


torch.manual_seed(1)
clerk = small(2 * len(DAYS), 2 * SHOTS, 64)
optimiser = torch.optim.AdamW(clerk.parameters(), betas=(0.9, 0.98))
history = []
for step in range(350):
    rate = 0.005 * min(1, (step + 1) / 50) * (1 - step / 350)
    optimiser.param_groups[0]["lr"] = rate
    texts = appointments(48)
    scores = answering(texts)
    mistake = cross_entropy(scores.flatten(0, 1), texts[:, 1::2].flatten())
    optimiser.zero_grad()
    mistake.backward()
    optimiser.step()
    history.append(mistake.item())
texts = appointments(2000)
with torch.no_grad():
    hits = answering(texts).argmax(-1) == texts[:, 1::2]
by_shots = hits.float().mean(0).tolist()
least = math.log(len(DAYS)) / SHOTS
text_shown = " ".join(
    f"{DAYS[day]}? {DAYS[answer - len(DAYS)]}."
    for day, answer in texts[0].view(-1, 2).tolist()
)

# %%
claim(
    f"One of the texts: *{text_shown}*",
    len(text_shown.split()) == 2 * SHOTS,
)
curves(
    "Right answers by the number of examples which stand before in the text.",
    "examples in the text",
    "right, %",
    list(range(SHOTS)),
    {
        "GPT-2 of two layers": [100 * share for share in by_shots],
        "a guess": [100 / len(DAYS)] * SHOTS,
    },
    prepare=lambda axes: axes.set(ylim=(0, 105)),
)
claim(
    f"Without an example (*zero-shot*) {by_shots[0]:.0%} are right, as in "
    f"guessing one of {len(DAYS)}; after one (*one-shot*) {by_shots[1]:.0%}. "
    "No weight changes in between: the rule is learned while the text is "
    "read.",
    abs(by_shots[0] - 1 / len(DAYS)) < 0.06 and by_shots[1] > 0.9,
)
curves(
    "The loss of an answer while it learns to learn.",
    "step",
    "nats an answer",
    list(range(0, 350, 10)),
    {
        "loss": torch.tensor(history).view(-1, 10).mean(1).tolist(),
        "guessing the first answer, knowing the others": [least] * 35,
    },
)
claim(
    "For a while it only guesses. Then, within few steps, it finds out how "
    f"rules are read off, and ends at {sum(history[-20:]) / 20:.3f} nats; "
    "who guesses the first answer of each text and knows the others has "
    rf"$\ln {len(DAYS)} / {SHOTS} = {least:.3f}$.",
    abs(sum(history[-20:]) / 20 - least) < 0.03,
)

# %%
room = 2 * counted["GPT-3", "175B"] / 1e9
with torch.no_grad():
    first = torch.tensor(tokenizer.encode("But soft, what light"))
    other = first.clone()
    other[-1] = tokenizer.encode("x")[0]
    change = (model(rows_of(first[None])) - model(rows_of(other[None]))).abs()
names = {
    name.split(".")[2]
    for name, _ in model.blocks.named_parameters(prefix="blocks")
}

# %%
question(
    "How much room does GPT-3 take?",
    f"{counted['GPT-3', '175B']:,} parameters of two bytes each are "
    f"{room:,.0f} gigabytes, before anything is computed.",
    340 < room < 360,
)
question(
    "What does a block of GPT have that a block of the Transformer's decoder "
    "has too, and what has it not?",
    f"It has {', '.join(sorted(name.replace('_', ' ') for name in names))}. "
    "It has no attention to a source, since there is none.",
    "attention" in names and not any("source" in name for name in names),
)
question(
    "A word is missing in the middle of a sentence. Can GPT use what stands "
    "after the gap?",
    "No. Change the last letter of a text, and what the model says at all "
    f"places before it changes by {change[:-1].max():g}. A model which looks "
    "both ways is the subject of the [next lesson](06_bert.py).",
    float(change[:-1].max()) == 0 < float(change[-1].max()),
)

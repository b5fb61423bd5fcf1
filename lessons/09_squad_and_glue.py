#!/usr/bin/env python3
"""What SQuAD and GLUE are: examinations for models which read."""

import json
import re
import string
from collections import Counter
from pathlib import Path
from random import Random
from statistics import fmean
from tempfile import mkdtemp

import numpy as np
import torch

from regard.data.glue import GLUE_TASKS, read_glue
from regard.data.inputs import Draws
from regard.data.loading import Cursor
from regard.data.squad import Answer, Question, read_squad
from regard.data.squad_windows import windows
from regard.decoding.spans import decide
from regard.evaluate.glue import BERT_COLUMNS, SHEETS
from regard.evaluate.metrics import measure_classes, measure_numbers
from regard.evaluate.squad import exact, f1, normalised, score
from regard.evaluate.squad_tuning import tune_threshold
from regard.models.heads import SpanFinder
from regard.models.saved import load_encoder
from regard.objectives.labels import Spans
from regard.reading.answering import find
from regard.reading.preparing import Form, prepare
from regard.reading.pretrained import find_model
from regard.reading.reader import Reader
from regard.text.tokenizer import Tokenizer
from regard.training.optimisers import bert, scaled

from page import (
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
    "What are SQuAD and GLUE?",
    "They are examinations for models which read: SQuAD asks questions about "
    "paragraphs, whose answers are to be pointed at in the text, and GLUE is "
    "a collection of nine tasks about sentences and pairs of sentences.",
    "Each has examples to learn from, examples to be tried on, and a rule by "
    "which answers are scored, so that models can be compared.",
    "The rules matter: what counts as the same answer, how chance is taken "
    "off, and when a model may say that there is no answer.",
)

# %%
tell(
    """
    ## GLUE

    General Language Understanding Evaluation (Wang et al. 2019) is nine
    tasks, and their scores are averaged. The data is not part of this
    lesson; what the library knows of each task is, and so are examples which
    were written for it.
    """
)


# %%
PHRASES = {  # one for each task, written for this lesson
    "CoLA": (["The cat the chased mouse."], "0"),
    "SST-2": (["a film one would gladly see again"], "1"),
    "MRPC": (
        ["The bridge was closed on Monday.", "On Monday the bridge closed."],
        "1",
    ),
    "STS-B": (["A girl plays the flute.", "A woman plays music."], "3.2"),
    "QQP": (["How do I bake bread?", "What is the way to bake bread?"], "1"),
    "MNLI": (["All shops are shut.", "The bakery is open."], "contradiction"),
    "QNLI": (
        ["When was the tower built?", "The tower was built in spring."],
        "entailment",
    ),
    "RTE": (["Ada lives in Rome.", "Ada lives in Italy."], "entailment"),
    "WNLI": (
        [
            "The cup fell off the shelf since it was round.",
            "The cup was round.",
        ],
        "1",
    ),
}
ABOUT = {
    "CoLA": "is it grammatical?",
    "SST-2": "is the review good or bad?",
    "MRPC": "do both say the same?",
    "STS-B": "how alike are they, from none to all?",
    "QQP": "is it the same question?",
    "MNLI": "does the second follow from the first?",
    "QNLI": "does the sentence answer the question?",
    "RTE": "does the second follow from the first?",
    "WNLI": "what does the pronoun stand for?",
}

# %%
table(
    "The nine tasks: what is asked, how it is scored, and how many examples "
    "there are to learn from and to be tried on",
    ["task", "asked", "scored by", "train", "dev", "test"],
    [
        [
            name,
            ABOUT[name],
            ", ".join(metric.replace("_", " ") for metric in task.metrics),
            task.files["train"].count,
            *(
                sum(
                    file.count
                    for split, file in task.files.items()
                    if split.startswith(part)
                )
                for part in ("dev", "test")
            ),
        ]
        for name, task in GLUE_TASKS.items()
        if name in ABOUT
    ],
)

# %%
tell(
    """
    Who takes part learns from the first, and chooses by the second. The
    labels of the tests are not given out: one sends what the model says to
    a server, which answers with scores, and only so often. So nobody can
    choose a model by its test, and what is measured at home is measured on
    the development sets.

    ### Its files

    Each task has tables of its own, whose cells are parted by tabs and whose
    columns differ from task to task. This is the file of MRPC, as it is
    distributed, with an example of ours:
    """
)


# %%
folder = Path(mkdtemp())


def write_example(name):
    """Write an example as the development file of a task has it."""
    task = GLUE_TASKS[name]
    file = next(
        file for split, file in task.files.items() if split.startswith("dev")
    )
    texts, label = PHRASES[name]
    values = dict(zip(file.layout.texts, texts, strict=True))
    values[file.layout.label] = label
    lines = [[values.get(column, "-") for column in file.layout.columns]]
    if file.layout.has_header:
        lines.insert(0, list(file.layout.columns))
    path = folder / task.folder / file.name
    path.parent.mkdir()
    path.write_text(
        "".join("\t".join(line) + "\n" for line in lines), encoding="utf-8"
    )
    return path


paths = {name: write_example(name) for name in PHRASES}
read = {
    name: read_glue(name, folder, path.stem)[0] for name, path in paths.items()
}

# %%
print(paths["MRPC"].read_text(encoding="utf-8").replace("\t", " → "))

# %%
table(
    "An example of each task, written in the official form and read back",
    ["task", "columns of the file", "texts", "label"],
    [
        [
            name,
            len(
                paths[name]
                .read_text(encoding="utf-8")
                .split("\n")[0]
                .split("\t")
            ),
            " / ".join(example.texts),
            example.label,
        ]
        for name, example in read.items()
    ],
)
claim(
    f"All {len(read)} are read back as they were written, and a file of "
    "another task is refused, for a label from the wrong column would be no "
    "label at all.",
    all(
        list(example.texts) == PHRASES[name][0]
        and str(example.label) == PHRASES[name][1]
        for name, example in read.items()
    ),
)
source(read_glue)


# %%
tell(
    """
    ### Its measures

    With $a$ right among those which are truly *yes*, $b$ false alarms, $c$
    missed and $d$ rightly passed over:

    $$\\text{accuracy} = \\frac{a + d}{a + b + c + d}, \\quad
    F_1 = \\frac{2a}{2a + b + c}, \\quad
    \\text{Matthews} = \\frac{ad - bc}
    {\\sqrt{(a + b)(a + c)(d + b)(d + c)}}$$
    """
)


# %%
def by_hand(truths, guesses):
    """Count, and give accuracy, F1 and Matthews' coefficient."""
    pairs = Counter(zip(truths, guesses, strict=True))
    hits, alarms = pairs["1", "1"], pairs["0", "1"]
    missed, passed = pairs["1", "0"], pairs["0", "0"]
    product = (
        (hits + alarms)
        * (hits + missed)
        * (passed + alarms)
        * (passed + missed)
    )
    return {
        "accuracy": (hits + passed) / len(truths),
        "f1": 2 * hits / (2 * hits + alarms + missed),
        "matthews": (
            (hits * passed - alarms * missed) / product**0.5 if product else 0
        ),
    }


TRUTHS = list("1111111000")
CANDIDATES = {
    "says always 1": list("1111111111"),
    "guesses": list("1011011101"),
    "has learnt": list("1111101001"),
}
compared = {
    name: (
        by_hand(TRUTHS, guesses),
        measure_classes(
            ["accuracy", "f1", "matthews"],
            guesses,
            TRUTHS,
            labels=("0", "1"),
            positive="1",
        ),
    )
    for name, guesses in CANDIDATES.items()
}

# %%
table(
    "Three candidates, by hand and by the library",
    ["candidate", "measure", "by hand", "regard"],
    [
        [name, measure, float(value), library[measure]]
        for name, (hand, library) in compared.items()
        for measure, value in hand.items()
    ],
)

# %%
lazy, clever = compared["says always 1"][0], compared["has learnt"][0]
share = TRUTHS.count("1") / len(TRUTHS)

# %%
claim(
    f"Since {share:.0%} of the truths are *yes*, who always says *yes* has an "
    f"accuracy of {lazy['accuracy']:.0%} and an $F_1$ of {lazy['f1']:.2f}, "
    f"without having looked. Matthews gives {lazy['matthews']:.0f} for that: "
    "it is a correlation. Most sentences of CoLA are grammatical, and so it "
    "is scored by it.",
    all(
        abs(value - library[measure]) < 1e-9
        for hand, library in compared.values()
        for measure, value in hand.items()
    )
    and lazy["matthews"] == 0 < clever["matthews"],
)

# %%
MEANT = [  # pairs, and how alike they are, from 0 to 5
    ("A man is playing a guitar.", "A man plays the guitar.", 5.0),
    ("Two dogs run through the snow.", "Dogs are running in snow.", 4.6),
    ("A woman is cutting onions.", "Someone chops vegetables.", 3.4),
    ("The cat sleeps on the sofa.", "A cat lies on a couch.", 4.2),
    ("A boy rides his bicycle.", "A girl rides a horse.", 1.8),
    ("The train leaves at noon.", "The bus will come at night.", 1.6),
    ("He bought a new car.", "She is baking bread.", 0.4),
    ("The sun is shining.", "The stock market fell.", 0.0),
    ("Children play in the park.", "Kids are playing outside.", 4.0),
    ("The river is very deep.", "A pianist gave a concert.", 0.2),
]
FOLDER = find_model("minilm")
minilm = Reader.load(FOLDER)
with torch.no_grad():
    sides = [minilm.embed([pair[side] for pair in MEANT]) for side in (0, 1)]
alike = (5 * (sides[0] * sides[1]).sum(1)).tolist()
human = [pair[2] for pair in MEANT]


def pearson(one, other):
    """Correlate two lists of numbers."""
    one, other = (np.array(own) - np.mean(own) for own in (one, other))
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def ranks(numbers):
    """Give the place of each number among all, none of which are equal."""
    return np.argsort(np.argsort(numbers))


hand = {
    "pearson": pearson(alike, human),
    "spearman": pearson(ranks(alike), ranks(human)),
}
library = measure_numbers(list(hand), alike, human)

# %%
table(
    "Pairs as in STS-B: what a person says, and five times the cosine of the "
    "vectors which MiniLM makes of them, which was tuned for this cosine, by "
    "other pairs and without such numbers",
    ["first", "second", "person", "MiniLM"],
    [[*pair, own] for pair, own in zip(MEANT, alike, strict=True)],
)
claim(
    "STS-B asks for a number, and is scored by two correlations: Pearson's, "
    "which asks how straight the line is, and Spearman's, which looks at the "
    f"ranks alone. Here they are {hand['pearson']:.3f} and "
    f"{hand['spearman']:.3f}, by hand as by the library.",
    all(abs(value - library[name]) < 1e-9 for name, value in hand.items())
    and hand["pearson"] > 0.7,
)

# %%
PRINTED = {  # BERT large, table 1 of Devlin et al. 2019
    ("MNLI-m", "accuracy"): 86.7,
    ("MNLI-mm", "accuracy"): 85.9,
    ("QQP", "f1"): 72.1,
    ("QNLI", "accuracy"): 92.7,
    ("SST-2", "accuracy"): 94.9,
    ("CoLA", "matthews"): 60.5,
    ("STS-B", "spearman"): 86.5,
    ("MRPC", "f1"): 89.3,
    ("RTE", "accuracy"): 70.1,
}
average = fmean(PRINTED[column] for column in BERT_COLUMNS)
PRINTED_AVERAGE = 82.1

# %%
claim(
    "One number sums it all up: the average of the tasks. In table 1 of "
    f"BERT's paper it is {PRINTED_AVERAGE} for the large model; the mean of "
    f"the {len(BERT_COLUMNS)} columns there is {average:.1f}. WNLI is left "
    "out there, and MNLI counts twice, since its test has two halves: texts "
    "of kinds which were in the training, and of others.",
    abs(average - PRINTED_AVERAGE) < 0.1
    and len(SHEETS) == len(BERT_COLUMNS) + 2,
)

# %%
tell(
    """
    ## SQuAD

    The Stanford Question Answering Dataset: paragraphs of Wikipedia,
    questions which people asked about them, and answers, each of which is a
    stretch of the paragraph (Rajpurkar et al. 2016). Its second version adds
    questions which look as if they had an answer there, and have none
    (Rajpurkar et al. 2018). This is its form, with a paragraph of ours:
    """
)

# %%
PARAGRAPH = (
    "The old lighthouse of Saltby stands on a rock before the harbour. Ada "
    "Stone planned it after her brother had been lost at sea, and it was lit "
    "for the first time in 1787. For a century its keepers carried the oil up "
    "two hundred steps. When the railway came, the village grew into a town, "
    "and a second tower was built on the northern cliff; it is higher, and "
    "has an electric lamp. Today the old one is a museum. In its rooms one "
    "sees charts, a boat of the rescue service, and the glass of the first "
    "lamp. In winter it is closed."
)


def entry(number, words, *answers):
    """Make a question of a file; one without answers is impossible."""
    return {
        "id": f"saltby-{number}",
        "question": words,
        "is_impossible": not answers,
        "answers": [
            {"text": text, "answer_start": PARAGRAPH.index(text)}
            for text in answers
        ],
    }


FILE = {
    "version": "v2.0",
    "data": [
        {
            "title": "Saltby",
            "paragraphs": [
                {
                    "context": PARAGRAPH,
                    "qas": [
                        entry(1, "Who planned the lighthouse?", "Ada Stone"),
                        entry(
                            2,
                            "How many steps did the keepers climb?",
                            "two hundred steps",
                            "two hundred",
                        ),
                        entry(3, "Who planned the second tower?"),
                    ],
                }
            ],
        }
    ],
}
place = folder / "dev-v2.0.json"
place.write_text(json.dumps(FILE), encoding="utf-8")
asked = read_squad(place)
print(json.dumps(FILE["data"][0]["paragraphs"][0]["qas"], indent=1))

# %%
claim(
    f"{len(asked)} questions are read. The first answer begins at character "
    f"{asked[0].answers[0].start} of its paragraph; the second question has "
    f"{len(asked[1].answers)} answers, of which the best counts; the last has "
    "none: who planned the *second* tower is not said, though a name stands "
    "there.",
    all(
        PARAGRAPH.startswith(answer.text, answer.start)
        for one in asked
        for answer in one.answers
    )
    and asked[2].is_impossible,
)


# %%
QUESTIONS = {  # table 2 of Rajpurkar et al. 2018; those without an answer
    "SQuAD 1.1": {"train": 87_599, "dev": 10_570, "test": 9_533},
    "SQuAD 2.0": {"train": 130_319, "dev": 11_873, "test": 8_862},
}
WITHOUT = {"train": 43_498, "dev": 5_945, "test": 4_332}
HUMAN = {  # exact match and F1 on the test sets, as each paper has them
    "SQuAD 1.1": (77.0, 86.8),  # table 5 of Rajpurkar et al. 2016
    "SQuAD 2.0": (86.9, 89.5),  # table 3 of Rajpurkar et al. 2018
}
asked_in = {name: sum(parts.values()) for name, parts in QUESTIONS.items()}
unanswerable = sum(WITHOUT.values())
shares = {
    part: WITHOUT[part] / number
    for part, number in QUESTIONS["SQuAD 2.0"].items()
}

# %%
table(
    "Questions of the two versions (Rajpurkar et al. 2018, table 2), and how "
    "people answer those of the test, as the two papers have it",
    ["", "train", "dev", "test", "people: exact match", "F1"],
    [
        [name, *parts.values(), *HUMAN[name]]
        for name, parts in QUESTIONS.items()
    ],
)
claim(
    f"The second version has {asked_in['SQuAD 2.0']:,} questions, of which "
    f"{unanswerable:,} have no answer: {shares['train']:.0%} of those to "
    f"learn from, and half of the others ({shares['dev']:.0%} and "
    f"{shares['test']:.0%}). The test set is kept back altogether, questions "
    "and answers: one sends the model, and it is run by those who have it.",
    0.3 < shares["train"] < 0.4
    and all(abs(shares[part] - 0.5) < 0.02 for part in ("dev", "test"))
    and asked_in["SQuAD 2.0"] > asked_in["SQuAD 1.1"],
)


# %%
tell(
    """
    ### When an answer is the same answer

    Before answers are compared, capitals, punctuation, articles and double
    spaces are taken away. **Exact match** asks whether what is left is the
    same, **F1** how many words both share: the harmonic mean of the share of
    the guess which is right and the share of the answer which is found.
    """
)


# %%
def same_form(text):
    """Do by hand what makes two answers the same."""
    text = "".join(
        letter for letter in text.lower() if letter not in string.punctuation
    )
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def overlap(answer, guess):
    """Give F1 by hand: words which answer and guess share."""
    wanted, given = same_form(answer).split(), same_form(guess).split()
    common = sum((Counter(wanted) & Counter(given)).values())
    if not common:
        return float(wanted == given)
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


GUESSES = [
    ("two hundred steps", "The two-hundred steps!"),
    ("two hundred steps", "Two hundred steps."),
    ("two hundred steps", "hundred steps up"),
    ("Ada Stone", "Stone"),
    ("Ada Stone", "her brother"),
    ("in 1787", "1787"),
]
rows = [
    [
        answer,
        guess,
        same_form(guess),
        float(same_form(answer) == same_form(guess)),
        exact(answer, guess),
        overlap(answer, guess),
        f1(answer, guess),
    ]
    for answer, guess in GUESSES
]

# %%
table(
    "Answers and guesses, scored by hand and by the library",
    [
        "answer",
        "guess",
        "what is compared",
        "exact, by hand",
        "exact",
        "F1, by hand",
        "F1",
    ],
    rows,
)
claim(
    f"*{GUESSES[1][1]}* is as good as *{GUESSES[1][0]}*. But a hyphen is "
    f"taken away without a space, so *{GUESSES[0][1]}* becomes "
    f"*{rows[0][2]}* and scores {rows[0][6]:.2f}: the rule is simple, and "
    "everyone has the same.",
    all(
        row[3] == row[4]
        and abs(row[5] - row[6]) < 1e-9
        and row[2] == normalised(row[1])
        for row in rows
    ),
)
source(normalised, f1)

# %%
tell(
    """
    ### A context which is too long

    BERT reads so many tokens and no more. A longer context is read in
    windows which overlap, the question before each of them. A token stands
    in several windows; the one which sees most around it judges it.
    """
)


# %%
tokenizer = Tokenizer.load(FOLDER)
framing = tokenizer.framing(is_last=False)
LONGEST, STRIDE = 56, 20
cut = windows(asked[1], tokenizer, framing, longest=LONGEST, stride=STRIDE)
pieces = tokenizer.locate_batch([PARAGRAPH])[0][1]
place_of = {tuple(span): number for number, span in enumerate(pieces)}
views = torch.zeros(len(cut), len(pieces), dtype=torch.float64)
for row, window in zip(views, cut, strict=True):
    first = place_of[tuple(window.offsets[0].tolist())]
    judged = torch.from_numpy(window.has_most_context)
    row.narrow(0, first, len(judged)).copy_(1 + judged.double())
views = views.numpy()
holds = [not window.is_impossible for window in cut]


def draw_windows():
    """Draw which tokens each window reads, and which it judges."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 2.6), layout="constrained")
    axes = drawn.add_subplot()
    axes.imshow(views, cmap="Greys", vmin=0, vmax=2.6, aspect="auto")
    axes.set_yticks(range(len(cut)), [f"window {n}" for n in range(len(cut))])
    answer = asked[1].answers[0]
    span = [
        number
        for number, (start, end) in enumerate(pieces)
        if start < answer.start + len(answer.text) and end > answer.start
    ]
    axes.axvspan(
        span[0] - 0.5,
        span[-1] + 0.5,
        fill=False,
        edgecolor="#c2410c",
        linewidth=1.5,
    )
    axes.set_xlabel("tokens of the paragraph; the answer is framed")
    axes.tick_params(length=0)
    return drawn


# %%
figure(
    draw_windows(),
    "Grey: a window reads the token. Black: it judges it.",
    "Rows of cells, one a window, each beginning one stride further. In the "
    "middle of each window the cells are black.",
    ["window", "first token", "tokens", "judges", "holds the answer"],
    [
        [
            number,
            int((row > 0).argmax()),
            int((row > 0).sum()),
            int((row == 2).sum()),
            "yes" if has else "no",
        ]
        for number, (row, has) in enumerate(zip(views, holds, strict=True))
    ],
)
claim(
    f"{len(pieces)} tokens in windows of {LONGEST}, of which each begins "
    f"{STRIDE} further, make {len(cut)} windows. Every token is judged once; "
    f"the answer stands as a whole in {sum(holds)} of them, and the others "
    "have to learn to say that it is not there.",
    bool(((views == 2).sum(0) == 1).all()) and sum(holds) >= 1,
)
source(windows)

# %%
tell(
    """
    ## A small examination

    SQuAD itself has very many questions. Here are fewer, about buildings
    and in the same form. MiniLM gets a head which scores each token as start
    and as end (Devlin et al. 2019, section 4.2), and learns for less than a
    minute; the upper half of its layers learns along. People and cities of
    the examination are new.
    """
)


# %%
random = Random(9)
PEOPLE = [
    *("Ada Stone", "Ben Hill", "Clara Wood", "David Lake"),
    *("Emma Field", "Felix Brook", "Greta Moor", "Hugo Park"),
]
PLACES = ["Paris", "Rome", "Madrid", "Berlin", "Vienna", "Athens", "Oslo"]
NEW_PEOPLE = ["Nora Vale", "Oscar Ford", "Paula Dale", "Simon Marsh"]
NEW_PLACES = ["Cairo", "Tokyo", "Lisbon", "Warsaw"]
KINDS = ["bridge", "church", "school", "tower", "library", "theatre"]
SAID = {
    "when": "It was begun in {}.",
    "who": "It was planned by {}.",
    "height": "It is {} metres high.",
    "where": "It stands in {}.",
}
ASKED = {
    "when": "When was the {} begun?",
    "who": "Who planned the {}?",
    "height": "How high is the {}?",
    "where": "Where does the {} stand?",
}


def questions(people, places, size):
    """Make questions about buildings, a third of which have no answer."""
    found = []
    for number in range(size):
        kind = random.choice(KINDS)
        facts = {
            "when": str(random.randrange(1700, 2000)),
            "who": random.choice(people),
            "height": str(random.randrange(10, 90)),
            "where": random.choice(places),
        }
        told = random.sample(list(SAID), 3)
        [untold] = set(SAID) - set(told)
        said = [SAID[name].format(facts[name]) for name in told]
        context = " ".join([f"The {kind} is well known.", *said])
        about = random.choice(told) if random.random() < 2 / 3 else untold
        words = ASKED[about].format(kind)
        answers = ()
        if about != untold:
            answers = (Answer(facts[about], context.index(facts[about])),)
        found.append(
            Question(f"{number}", words, context, answers, not answers)
        )
    return found


FORM = Form(tokenizer, framing, longest=64, stride=32)
STEPS, TOGETHER = 30, 12
learnt = questions(PEOPLE, PLACES, STEPS * TOGETHER)
kept = questions(NEW_PEOPLE, NEW_PLACES, 120)

torch.manual_seed(9)
encoder, _ = load_encoder(FOLDER, pools=False)
model = SpanFinder(encoder).eval()  # without dropout: the steps are few
still = [encoder.token, encoder.position, encoder.segment, encoder.norm]
for part in [*still, *encoder.blocks[:3]]:
    part.requires_grad_(False)
objective = Spans(model)
trained = [one for one in model.parameters() if one.requires_grad]
optimiser = bert([scaled(trained)], 0.01)
draws = Draws(prepare("span", learnt, (), FORM).examples, TOGETHER, seed=9)
losses = []
for step, (item, _) in zip(
    range(1, STEPS + 1), draws.plan(Cursor()), strict=False
):
    loss = objective(*draws.batch(item).parts)
    objective.zero_grad()
    (loss.total / loss.tokens).backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    for group in optimiser.param_groups:
        group["lr"] = 1.5e-4 * min(1, step / 5, 1.05 - step / STEPS)
    optimiser.step()
    losses.append(float(loss.total.detach()) / loss.tokens)
reader = Reader(model, tokenizer, longest=FORM.longest)
prepared = prepare("span", kept, (), FORM)
answers = find(reader, prepared.windows, prepared.examples.inputs)
best = {name: ranked.best for name, ranked in answers.ranked.items()}
odds = {name: ranked.null_odds for name, ranked in answers.ranked.items()}

# %%
curves(
    "The loss of each step, in nats",
    "step",
    "nats a place",
    list(range(1, STEPS + 1)),
    {"loss": losses},
)

# %%
right = [
    number
    for number, own in enumerate(kept)
    if own.answers and best[own.id] == own.answers[0].text and odds[own.id] < 0
]
shown = max(right, key=lambda number: len(best[kept[number].id]))
window = prepared.windows[shown]
starts, ends = (side.tolist() for side in answers.shares[shown])
names = tokenizer.pieces(window.ids.tolist())


def draw_scores():
    """Draw how probable each token is as start and as end."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 3.4), layout="constrained")
    axes = drawn.add_subplot()
    spots = np.arange(len(names))
    axes.bar(spots - 0.2, starts, 0.4, color="#0072b2", label="start")
    axes.bar(
        spots + 0.2,
        ends,
        0.4,
        color="#d55e00",
        hatch="//",
        edgecolor="white",
        label="end",
    )
    axes.set_xticks(spots, names, rotation=90, fontsize=8)
    axes.set(ylim=(0, 1.05), ylabel="probability")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return drawn


# %%
figure(
    draw_scores(),
    f"*{kept[shown].text}* How probable each token is as the start and as "
    "the end of the answer; `[CLS]` stands for no answer.",
    "Bars over the tokens of a question and its context; the highest stand "
    "at the answer.",
    ["token", "start", "end"],
    zip(names, starts, ends, strict=True),
)
claim(
    f"The best span is *{best[kept[shown].id]}*, which is right.",
    best[kept[shown].id] == kept[shown].answers[0].text,
)

# %%
tell(
    """
    ### When to say that there is no answer

    Each question has its best span and the odds of there being none, which
    is how far the score of `[CLS]` lies above that of the span. From which
    odds on to say nothing is a **threshold**. It is chosen on questions which
    are not those it is tried on.
    """
)


# %%
half = len(kept) // 2
tuning, testing = kept[:half], kept[half:]
tuned = tune_threshold(tuning, best, odds)
grid = np.linspace(min(odds.values()) - 1, max(odds.values()) + 1, 40)
by_threshold = {
    "half for choosing": [
        score(tuning, best, odds, threshold=float(own)).all.f1 for own in grid
    ],
    "other half": [
        score(testing, best, odds, threshold=float(own)).all.f1 for own in grid
    ],
}
final = score(testing, best, odds, threshold=tuned.threshold)
always = score(testing, best)
said = {
    name: decide(own, tuned.threshold) for name, own in answers.ranked.items()
}
one = fmean(
    max(
        overlap(wanted, said[item.id])
        for wanted in [own.text for own in item.answers] or [""]
    )
    for item in testing
)

# %%
curves(
    "F1 by the threshold: far to the left nothing is ever answered, far to "
    "the right everything.",
    "threshold",
    "F1",
    [float(own) for own in grid],
    by_threshold,
    prepare=lambda axes: axes.axvline(tuned.threshold, color="black", lw=0.8),
)
table(
    "The other half, scored",
    ["questions", "number", "exact match", "F1"],
    [
        [name, own.total, own.exact, own.f1]
        for name, own in (
            ("all", final.all),
            ("with an answer", final.with_answer),
            ("without", final.without_answer),
            ("all, always answering", always.all),
        )
    ],
)
claim(
    f"The threshold chosen on one half is {tuned.threshold:.1f}. On the "
    f"other half it gives an F1 of {final.all.f1:.1f}, by hand "
    f"{100 * one:.1f}; who always answers gets {always.all.f1:.1f}.",
    abs(final.all.f1 - 100 * one) < 1e-6
    and final.all.f1 > always.all.f1
    and final.all.f1 > 50,
)
source(tune_threshold)

# %%
tell(
    """
    ## The real ones

    With the files of SQuAD and GLUE at hand, this is how one runs them; see
    [BERT, ALBERT and XLNet](../docs/encoders.md).

    ```
    regard glue --data glue --model minilm --tasks SST-2,MRPC --out runs/glue
    regard squad --model minilm --train train-v2.0.json --dev dev-v2.0.json \\
        --out runs/squad
    ```

    What MiniLM reaches there is its own: among the pairs which it was tuned
    on are questions of SQuAD with their paragraphs, and pairs of MNLI's and
    of QQP's sources.

    What the models of the papers reached, one model each:
    """
)

# %%
REACHED = {  # exact match and F1 on the development sets, and accuracy
    # table 2 of Devlin et al. 2019
    "BERT base": ((80.8, 88.5), None, None),
    # tables 2 and 3 of Devlin et al. 2019; MNLI: table 9 of Lan et al. 2019
    "BERT large": ((84.1, 90.9), (78.7, 81.9), 86.6),
    # tables 9 and 10 of Lan et al. 2019, both
    "XLNet large": ((89.0, 94.5), (86.1, 88.8), 89.8),
    "ALBERT xxlarge": ((89.3, 94.8), (87.4, 90.2), 90.8),
}


def either(pair):
    """Write exact match and F1, where they are published."""
    return "/".join(map(str, pair)) if pair else "–"


best_of_them = REACHED["ALBERT xxlarge"]

# %%
table(
    "Exact match and F1 on SQuAD's development sets, and accuracy on MNLI's, "
    "where the papers have them (Devlin et al. 2019, tables 2 and 3; Lan et "
    "al. 2019, tables 9 and 10)",
    ["", *QUESTIONS, "MNLI"],
    [
        [name, either(first), either(second), mnli or "–"]
        for name, (first, second, mnli) in REACHED.items()
    ],
)
claim(
    "People, by the papers, have an F1 of "
    f"{HUMAN['SQuAD 1.1'][1]} on the first version and "
    f"{HUMAN['SQuAD 2.0'][1]} on the second. The largest ALBERT has "
    f"{best_of_them[0][1]} and {best_of_them[1][1]}, though on other "
    "questions: those of the development sets.",
    best_of_them[0][1] > HUMAN["SQuAD 1.1"][1]
    and best_of_them[1][1] > HUMAN["SQuAD 2.0"][1],
)

# %%
question(
    "Why is accuracy not enough for CoLA?",
    "Because most of its sentences are grammatical. Where "
    f"{share:.0%} are, saying so of all of them gives an accuracy of "
    f"{lazy['accuracy']:.0%}, and Matthews' coefficient is "
    f"{lazy['matthews']:.0f}; the candidate who has learnt something gets "
    f"{clever['accuracy']:.0%} and {clever['matthews']:.2f}.",
    lazy["matthews"] == 0 and clever["matthews"] > 0,
)

# %%
half_right = f1("two hundred steps", "hundred steps up")

# %%
question(
    "A model answers *hundred steps up* where *two hundred steps* is right: "
    "what does it score?",
    f"Exact match {exact('two hundred steps', 'hundred steps up'):.0f}, F1 "
    f"{half_right:.2f}: two of its three words are right, and two of the "
    "three wanted ones are there.",
    abs(half_right - 2 / 3) < 1e-9,
)

# %%
nothing = score(testing, {item.id: "" for item in testing})

# %%
question(
    "What does a model score in SQuAD's second version which never answers?",
    "The share of the questions which have no answer, as exact match and as "
    f"F1: {nothing.all.f1:.1f} in our half, where "
    f"{nothing.without_answer.total} of {nothing.all.total} have none. Our "
    f"model gets {final.all.f1:.1f}.",
    abs(
        nothing.all.f1 - 100 * nothing.without_answer.total / nothing.all.total
    )
    < 1e-9
    and final.all.f1 > nothing.all.f1,
)

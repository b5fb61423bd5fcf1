#!/usr/bin/env python3
"""How to use BERT for specific tasks: one encoder, and a head for each."""

from copy import deepcopy
from random import Random

import numpy as np
import torch

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.inputs import Draws
from regard.data.loading import Cursor
from regard.data.squad import Answer, Question
from regard.evaluate.agreement import confusion
from regard.evaluate.assessment import assess
from regard.models.heads import (
    HEADS,
    Chooser,
    Classifier,
    Regressor,
    SpanFinder,
    Tagger,
)
from regard.models.saved import load_encoder
from regard.objectives.labels import Classes, Spans, labels_of
from regard.reading.preparing import Form, prepare
from regard.reading.pretrained import find_model
from regard.reading.reader import Reader
from regard.text.tokenizer import Tokenizer
from regard.training.optimisers import bert, scaled
from regard.visualise.view import pictures

from page import (
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
    "How does one use BERT for a specific task?",
    "Put one small layer, a head, on top of the pre-trained model: it turns "
    "the vectors which BERT makes of a text into what the task asks for, be "
    "it a class, a number, a tag for each word, or a place in the text.",
    "Then train both together, the head from nothing and BERT from where it "
    "stands, on a few labelled examples and with small steps.",
    "Nearly all that is needed is in BERT already, so that a hundred examples "
    "can do what could not be learnt from them alone.",
)

# %%
tell(
    """
    ## A head is a layer and a question

    Devlin et al. (2019), section 4: "we simply plug in the task-specific
    inputs and outputs into BERT and fine-tune all the parameters
    end-to-end". Which vectors a head reads is all that differs: the sum of
    the input, which is made of `[CLS]`, or the vector of each word.
    """
)


# %%
FOLDER = find_model("minilm")
tokenizer = Tokenizer.load(FOLDER)
FORM = Form(tokenizer, tokenizer.framing(is_last=False), longest=64, stride=32)

# %%
source(Classifier, Regressor, Chooser, Tagger, SpanFinder)


# %%
tell(
    """
    ## A class for a text

    Messages of guests and customers are to be sorted: which praise, which
    complain, which ask. The examples are made of phrases and things; those
    to be tested by have other phrases and other things, so that only who
    knows what *terrible* means, without ever having seen it here, can sort
    them.
    """
)


# %%
PRETRAINED, _ = load_encoder(FOLDER, pools=True)


def build(name, labels=(), *, is_trained=True):
    """Put a head on MiniLM, or on the same model before its pre-training."""
    torch.manual_seed(8)
    encoder = (
        deepcopy(PRETRAINED)
        if is_trained
        else type(PRETRAINED)(PRETRAINED.config)
    )
    return HEADS[name](encoder, labels)


def tune(model, name, items, *, steps, rate=2e-4, together=16, frozen=0):
    """Train a model on labelled examples, and give the loss of each step.

    Of the encoder the lowest layers which are counted by `frozen` stay as
    they are, and always the table of words.
    """
    encoder, stay = model.encoder, frozen and frozen + 3
    encoder.token.requires_grad_(False)
    below = [encoder.position, encoder.segment, encoder.norm, *encoder.blocks]
    for part in below[:stay]:
        part.requires_grad_(False)
    objective = labels_of(name, model.train())
    learnt = [one for one in model.parameters() if one.requires_grad]
    optimiser = bert([scaled(learnt)], 0.01)
    examples = prepare(name, items, model.labels, FORM).examples
    draws, losses = Draws(examples, together, seed=8), []
    plan = zip(range(1, steps + 1), draws.plan(Cursor()), strict=False)
    for step, (item, _) in plan:
        loss = objective(*draws.batch(item).parts)
        objective.zero_grad()
        (loss.total / loss.tokens).backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, step / 5, 1.05 - step / steps)
        optimiser.step()
        losses.append(float(loss.total.detach()) / loss.tokens)
    model.eval()
    return losses


def measure(model, items):
    """Say how good a model is on labelled examples."""
    reader = Reader(model, tokenizer, longest=FORM.longest)
    prepared = prepare(reader.head, items, reader.labels, FORM)
    return assess(reader, prepared, items)


# %%
random = Random(8)
KNOWN = {
    "praise": "was wonderful|was a delight|is the best we ever had|made us "
    "very happy|was worth every penny|was lovely from start to end|is just "
    "perfect|is something we liked a lot",
    "complaint": "was awful|was a waste of money|is the worst we ever had|"
    "made us very angry|was not worth a penny|was boring from start to end|"
    "is just broken|is something we did not like at all",
    "question": "where can one find|how much is|who takes care of|when do we "
    "get|what is new about|may we see|how old is|which one is",
}
NEW = {
    "praise": "was superb|was a great joy|could not have been better|is "
    "something we shall recommend to all our friends|deserves a prize|was "
    "terrific|is simply great|pleased everybody|was beautiful|is a treasure",
    "complaint": "was terrible|was a great disappointment|could not have "
    "been worse|is something we shall never pay for again|deserves no star|"
    "was dreadful|is simply bad|annoyed everybody|was ugly|is a shame",
    "question": "why is this called|can you tell us more about|what happened "
    "to|do you have another one like|is there a discount for|whose is|how "
    "long is|is anything wrong with|did you see|which colour has",
}
THINGS = ["soup", "room", "film", "journey", "concert", "book", "cake", "lamp"]
OTHERS = ["salad", "guide", "play", "bicycle", "garden", "camera"]


def messages(phrases, things):
    """Write messages of each class."""
    found = []
    for label, own in phrases.items():
        for phrase in own.split("|"):
            for thing in random.sample(things, 4):
                words = (
                    f"{phrase} the {thing}?"
                    if label == "question"
                    else f"the {thing} {phrase}."
                )
                found.append(Example((words.capitalize(),), label))
    return found


train, test = messages(KNOWN, THINGS), messages(NEW, OTHERS)
LABELS = tuple(KNOWN)

# %%
table(
    "Some of the examples",
    ["for training", "class", "for testing", "class"],
    [
        [*one.texts, one.label, *other.texts, other.label]
        for one, other in zip(train[::13], test[::16], strict=False)
    ],
)
source(Classes.forward)

# %%
ROUTES = {
    "fine-tuned": (True, {"steps": 20}),
    "only the head": (True, {"steps": 20, "frozen": 6, "rate": 2e-3}),
    "without pre-training": (False, {"steps": 20}),
}
models, losses, results = {}, {}, {}
for name, (is_trained, how) in ROUTES.items():
    model = build("classification", LABELS, is_trained=is_trained)
    if name == "fine-tuned":
        untouched = {
            key: value.clone() for key, value in model.state_dict().items()
        }
        results["before"] = measure(model, test)
    losses[name] = tune(model, "classification", train, **how)
    models[name], results[name] = model, measure(model, test)
accuracy = {name: own.measures["accuracy"] for name, own in results.items()}
minilm = models["fine-tuned"].config
head_numbers = sum(
    own.numel() for own in models["fine-tuned"].output.parameters()
)
whole = sum(own.numel() for own in models["fine-tuned"].parameters())

# %%
curves(
    "The loss of each step, in nats a message",
    "step",
    "nats",
    list(range(1, 21)),
    losses,
)
bars(
    "How many of the unseen messages are sorted rightly",
    "accuracy",
    accuracy,
    prepare=lambda axes: axes.set_xlim(0, 1.15),
)
claim(
    f"{len(train)} examples, {len(test)} to test by. Fine-tuned, MiniLM sorts "
    f"{accuracy['fine-tuned']:.0%} of them rightly; if only the head learns, "
    f"{accuracy['only the head']:.0%}; and the same model without "
    f"pre-training {accuracy['without pre-training']:.0%}, where "
    f"{1 / len(LABELS):.0%} are right by chance. The head has "
    f"{head_numbers:,} numbers, the model {whole:,}.",
    accuracy["fine-tuned"] > 0.7
    and accuracy["fine-tuned"] > accuracy["without pre-training"] + 0.2
    and accuracy["only the head"] > accuracy["without pre-training"],
)

# %%
truths = [item.label for item in test]
predicted = list(results["fine-tuned"].predictions)
taken = confusion(predicted, truths, LABELS)

# %%
heat(
    "What is mistaken for what, by the fine-tuned model: a row for each true "
    "class, a column for each predicted one",
    taken.counts,
    LABELS,
    LABELS,
    form="g",
    corner="true, predicted",
)

# %%
wrong = [
    [*item.texts, item.label, own]
    for item, own in zip(test, predicted, strict=True)
    if own != item.label
]

# %%
table("Some of its mistakes", ["message", "true", "predicted"], wrong[::3])
claim(
    f"{len(wrong)} of {len(test)} are mistaken, and the diagonal of the "
    f"matrix holds the others: {taken.accuracy:.0%}.",
    abs(taken.accuracy - accuracy["fine-tuned"]) < 1e-9
    and len(wrong) + sum(taken.counts[n][n] for n in range(3)) == len(test),
)


# %%
tell("### What fine-tuning does to the vectors")


# %%
@torch.no_grad()
def sums(model):
    """Give what the head reads of each unseen message, [B, D]."""
    inputs = prepare("classification", test, LABELS, FORM).examples.inputs
    text, segments = inputs.packed(np.arange(len(test)))
    return model.encoder(text, segments)


def apart(vectors):
    """Say how far classes lie apart, by how wide they are."""
    groups = [
        vectors[[truth == label for truth in truths]] for label in LABELS
    ]
    centres = torch.stack([group.mean(0) for group in groups])
    within = torch.cat(
        [group - centre for group, centre in zip(groups, centres, strict=True)]
    )
    return float(torch.pdist(centres).mean() / within.norm(dim=1).mean())


def flat(vectors):
    """Lay vectors on the plane in which they differ most, [B, 2]."""
    centred = vectors - vectors.mean(0)
    _, _, ways = torch.linalg.svd(centred, full_matrices=False)
    return (centred @ ways[:2].T).numpy()


fresh = build("classification", LABELS).eval()
vectors = {
    "before": sums(fresh),
    "after": sums(models["fine-tuned"]),
}
spread = {name: apart(own) for name, own in vectors.items()}
planes = {name: flat(own) for name, own in vectors.items()}


def draw_planes():
    """Draw the messages before and after fine-tuning."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8, 3.8), layout="constrained")
    looks = (("#0072b2", "o"), ("#d55e00", "s"), ("#000000", "^"))
    for axes, (name, points) in zip(
        drawn.subplots(1, 2), planes.items(), strict=True
    ):
        for label, (colour, mark) in zip(LABELS, looks, strict=True):
            own = points[[truth == label for truth in truths]]
            axes.scatter(
                *own.T, 26, colour, marker=mark, label=label, alpha=0.75
            )
        axes.set_title(name, loc="left")
        axes.set(xticks=[], yticks=[])
    axes.legend(frameon=False)
    return drawn


# %%
figure(
    draw_planes(),
    "The sums of the unseen messages, laid on the plane in which they differ "
    "most, before and after fine-tuning.",
    "Two clouds of points. Before, the three classes are mixed; after, they "
    "lie in three groups.",
    ["message", "class", "before, across", "up", "after, across", "up"],
    [
        [*item.texts, item.label, *map(float, one), *map(float, other)]
        for item, one, other in list(zip(test, *planes.values(), strict=True))[
            ::5
        ]
    ],
)

# %%
moved = {}
for key, value in models["fine-tuned"].state_dict().items():
    if key.startswith("encoder.blocks.") and value.ndim > 1:
        layer = f"layer {key.split('.')[2]}"
        change = (value - untouched[key]).norm() / untouched[key].norm()
        moved.setdefault(layer, []).append(float(change))
moved = {layer: float(np.mean(own)) for layer, own in moved.items()}

# %%
bars("How far the weights of each layer moved", "share of their size", moved)
claim(
    "The centres of the classes were "
    f"{spread['before']:.1f} times as far apart as a class is wide, and are "
    f"{spread['after']:.1f} times. For that the weights moved by "
    f"{min(moved.values()):.1%} to {max(moved.values()):.1%} of their size: "
    "fine-tuning is a small step from a good place.",
    spread["after"] > 1.3 * spread["before"] and max(moved.values()) < 0.15,
)

# %%
tell(
    """
    ## Five more heads

    The other tasks differ from this one in their examples and in their head.
    `tune` and `measure` stay as they are, and here the lower half of MiniLM
    is left as it is, which saves time. People and places of the test are
    others than those of the training.
    """
)

# %%
PEOPLE = ["Ada", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo"]
PLACES = ["Paris", "Rome", "Madrid", "Berlin", "Vienna", "Athens", "Oslo"]
NEW_PEOPLE = ["Nora", "Oscar", "Paula", "Simon"]
NEW_PLACES = ["Cairo", "Tokyo", "Lisbon", "Warsaw"]


def answered(people, places, size):
    """Make pairs of a question and a text which answers it, or does not."""
    found = []
    for _ in range(size):
        one, other = random.sample(people, 2)
        place, hour = random.choice(places), random.choice(["noon", "nine"])
        asked, right, wrong = random.choice(
            [
                ("When did {} leave?", "left at {hour}", "left {place}"),
                ("Where did {} go?", "went to {place}", "went at {hour}"),
                ("Who called {}?", "was called by {other}", "called again"),
                ("What did {} eat?", "ate some bread", "ate at {hour}"),
            ]
        )
        is_right = random.random() < 0.5
        said = (right if is_right else wrong).format(
            place=place, hour=hour, other=other
        )
        label = "answers" if is_right else "does not"
        pair = (asked.format(one), f"{one} {said}.")
        found.append(Example(pair, label))
    return found


def stars(words, things):
    """Make opinions, and how many stars each would give, from 1 to 5."""
    return [
        Example((f"The {thing} was {word}.",), float(number))
        for word, number in words.items()
        for thing in random.sample(things, 6)
    ]


def tagged(people, places, size):
    """Make sentences whose people and places are tagged."""
    found = []
    for _ in range(size):
        names = dict(zip("ab", random.sample(people, 2), strict=True))
        names |= dict(zip("cd", random.sample(places, 2), strict=True))
        sentence = random.choice(
            [
                "a flew from c to d .",
                "In c a met b .",
                "b and a live in c .",
                "Has a ever been to c or d ?",
            ]
        )
        tags = {"a": "B-PER", "b": "B-PER", "c": "B-LOC", "d": "B-LOC"}
        words = sentence.split()
        found.append(
            TaggedWords(
                tuple(names.get(word, word) for word in words),
                tuple(tags.get(word, "O") for word in words),
            )
        )
    return found


def tools(table, times):
    """Make choices of the tool for a job, among three."""
    found = []
    for job, tool in list(table.items()) * times:
        others = [other for other in table.values() if other != tool]
        options = [tool, *random.sample(others, 2)]
        random.shuffle(options)
        place = options.index(tool)
        found.append(Choices(f"To {job} one needs", tuple(options), place))
    return found


def asked(people, places, size):
    """Make questions about a sentence in which the answer stands."""
    found = []
    for number in range(size):
        who, where = random.choice(people), random.choice(places)
        what = random.choice(["bridge", "church", "school", "tower"])
        year = str(random.randrange(1700, 2000))
        context = random.choice(
            [
                f"The {what} in {where} was built by {who} in {year}.",
                f"{who} built a {what} in {where} in {year}.",
                f"In {year} a {what} was built in {where}; {who} planned it.",
            ]
        )
        words, answer = random.choice(
            [
                (f"When was the {what} built?", year),
                (f"Who built the {what}?", who),
                (f"In which city does the {what} stand?", where),
            ]
        )
        answers = (Answer(answer, context.index(answer)),)
        found.append(Question(f"{number}", words, context, answers))
    return found


# %%
STARS = {
    "awful": 1,
    "terrible": 1,
    "very bad": 1,
    "bad": 2,
    "poor": 2,
    "disappointing": 2,
    "average": 3,
    "acceptable": 3,
    "not bad": 3,
    "good": 4,
    "nice": 4,
    "very good": 4.5,
    "excellent": 5,
    "wonderful": 5,
    "perfect": 5,
}
NEW_STARS = {
    "dreadful": 1,
    "horrible": 1,
    "weak": 2,
    "ordinary": 3,
    "pleasant": 4,
    "superb": 5,
    "marvellous": 5,
}
TOOLS = {
    "cut bread": "a knife",
    "eat soup": "a spoon",
    "drive in a nail": "a hammer",
    "sew on a button": "a needle",
    "see in the dark": "a lamp",
    "stay dry in the rain": "an umbrella",
    "open a locked door": "a key",
    "write a letter": "a pen",
    "sweep the floor": "a broom",
    "cross a river": "a boat",
    "catch fish": "a net",
    "tell the time": "a clock",
}
NEW_TOOLS = {
    "take a photograph": "a camera",
    "cut paper": "scissors",
    "wash your hands": "soap",
    "find the way in a city": "a map",
    "climb onto a roof": "a ladder",
    "comb your hair": "a comb",
}
TASKS = {  # head, labels, for training, for testing, measure, training
    "pair": (
        "classification",
        ("does not", "answers"),
        answered(PEOPLE, PLACES, 160),
        answered(NEW_PEOPLE, NEW_PLACES, 60),
        "accuracy",
        {"steps": 16},
    ),
    "number": (
        "regression",
        (),
        stars(STARS, THINGS),
        stars(NEW_STARS, OTHERS),
        "pearson",
        {"steps": 24, "rate": 3e-4},
    ),
    "tags": (
        "tagging",
        ("O", "B-PER", "B-LOC"),
        tagged(PEOPLE, PLACES, 120),
        tagged(NEW_PEOPLE, NEW_PLACES, 40),
        "entity_f1",
        {"steps": 10},
    ),
    "choice": (
        "choice",
        (),
        tools(TOOLS, 4),
        tools(NEW_TOOLS, 4),
        "accuracy",
        {"steps": 14, "together": 8},
    ),
    "span": (
        "span",
        (),
        asked(PEOPLE, PLACES, 200),
        asked(NEW_PEOPLE, NEW_PLACES, 40),
        "exact",
        {"steps": 32, "together": 8, "rate": 1.5e-4},
    ),
}
tuned, scores = {}, {}
for name, (head, labels, learnt, kept, how, plan) in TASKS.items():
    model = build(head, labels).eval()
    before = measure(model, kept).measures[how]
    tune(model, head, learnt, frozen=3, **plan)
    after = measure(model, kept).measures[how]
    tuned[name], scores[name] = model, (before, after)
scores["span"] = tuple(score / 100 for score in scores["span"])
readers = {
    name: Reader(model, tokenizer, longest=FORM.longest)
    for name, model in tuned.items()
}

# %%
own_numbers = {
    name: sum(
        parameter.numel()
        for part, parameter in model.named_parameters()
        if not part.startswith("encoder.")
    )
    for name, model in tuned.items()
}

# %%
table(
    "Five heads, before and after training, on what they have not seen",
    ["task", "head", "its own numbers", "measure", "before", "after"],
    [
        [
            name,
            type(tuned[name]).__name__,
            own_numbers[name],
            TASKS[name][4].replace("_", " "),
            *scores[name],
        ]
        for name in TASKS
    ],
)
claim(
    "All five learn their task in no more than forty steps. The largest head "
    f"has {max(own_numbers.values()):,} numbers of its own, "
    f"{max(own_numbers.values()) / whole:.4%} of the model.",
    all(after > before + 0.2 for before, after in scores.values())
    and max(plan[-1]["steps"] for plan in TASKS.values()) <= 40,
)

# %%
PAIRS = [
    ("When did Paula leave?", "Paula left at nine."),
    ("When did Paula leave?", "Paula left Cairo."),
]
said = readers["pair"].predict(PAIRS)
given = {
    word: readers["number"].predict([f"The garden was {word}."])[0]
    for word in NEW_STARS
}
SENTENCE = "Has Simon ever been to Warsaw ?"
tags = readers["tags"].tag([SENTENCE.split()])[0]
JOB, OPTIONS = "To climb onto a roof one needs", ["soap", "a ladder", "a comb"]
choice = readers["choice"].choose(JOB, OPTIONS)
CONTEXT = "The bridge in Lisbon was built by Nora in 1874."
ASKED = {
    "When was the bridge built?": "1874",
    "Who built the bridge?": "Nora",
    "In which city does the bridge stand?": "Lisbon",
}
found = {
    words: readers["span"].answer(words, CONTEXT).spans[0] for words in ASKED
}

# %%
table(
    "A class for a pair: does the second text answer the first?",
    ["first", "second", "label", "probability"],
    [
        [*pair, own.label, own.probability]
        for pair, own in zip(PAIRS, said, strict=True)
    ],
)
table(
    "A number for a text: how many stars are words which were not in the "
    "training?",
    ["word", "meant", "found"],
    [
        [word, float(NEW_STARS[word]), float(own.label)]
        for word, own in given.items()
    ],
)
table(
    "A tag for each word",
    ["word", "tag", "probability"],
    zip(tags.words, tags.tags, tags.probabilities, strict=True),
)
table(
    f"A choice: {JOB} ...",
    ["option", "probability"],
    zip(OPTIONS, choice.probabilities, strict=True),
)
table(
    f"A span: {CONTEXT}",
    ["question", "answer", "from character", "to"],
    [[words, own.text, own.start, own.end] for words, own in found.items()],
)

# %%
spans = sum(own.text == ASKED[words] for words, own in found.items())
off = {word: abs(own.label - NEW_STARS[word]) for word, own in given.items()}
worst, best = max(off, key=off.get), min(off, key=off.get)

# %%
claim(
    f"*{JOB}* {OPTIONS[choice.option]}. In *{SENTENCE}* the tags find "
    f"{tags.words[1]} and {tags.words[5]}. Of the {len(ASKED)} questions "
    f"{spans} are answered rightly. Of the new words *{best}* "
    f"is placed best, {off[best]:.1f} off, and *{worst}* worst, "
    f"{off[worst]:.1f} off.",
    OPTIONS[choice.option] == "a ladder" and spans >= 1,
)
attention(
    "A question and its context, with the probability that the answer starts "
    "or ends at each word",
    pictures(readers["span"], [(words, CONTEXT) for words in ASKED]),
)
source(Spans.forward)

# %%
tell(
    """
    ## Without writing a line

    All this is one command for whoever has a table of examples; it finds the
    task by the labels, says what it found, measures each epoch, and can be
    stopped and resumed:

    ```
    regard finetune --model minilm --train reviews.csv --out runs/reviews
    regard predict runs/reviews --text 'The play could not have been better.'
    regard evaluate runs/reviews test.csv
    ```

    See [BERT, ALBERT and XLNet](../docs/encoders.md).
    """
)

# %%
question(
    "How many numbers does a task add to BERT?",
    f"Those of its head: {head_numbers:,} for {len(LABELS)} classes, one "
    f"weight for each of the {minilm.width} numbers of the sum and one bias, "
    f"a class. The whole model has {whole:,}.",
    head_numbers == len(LABELS) * (minilm.width + 1),
)
question(
    "Why not train the head alone, and leave BERT as it is?",
    "It can be done, and is cheaper, for the vectors can be computed once. "
    "But they are made for something else: those of MiniLM tell which texts "
    "belong together, for which it was tuned on a billion pairs, and not "
    "what is praise and what a complaint. Here the head alone "
    f"sorted {accuracy['only the head']:.0%} of the messages, both together "
    f"{accuracy['fine-tuned']:.0%}.",
    accuracy["fine-tuned"] > accuracy["only the head"],
)
question(
    "Could the same model learn the task from the examples alone?",
    f"Not from {len(train)}. Begun at random, it sorted "
    f"{accuracy['without pre-training']:.0%} of the messages rightly, and "
    f"guessing sorts {1 / len(LABELS):.0%}. That *terrible* is no praise "
    "does not stand in the examples; it was learnt before.",
    accuracy["without pre-training"] < accuracy["fine-tuned"] - 0.2
    and not any("terrible" in item.texts[0] for item in train),
)

#!/usr/bin/env python3
"""What the attention mechanism is: a look-up by likeness, which is learned."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from regard import attend, kernel, load
from regard.attention.fused import weigh
from regard.attention.masks import padding
from regard.reading.pretrained import find_model
from regard.visualise import AttentionMap, Example

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
    "What is the attention mechanism?",
    "Attention is a way to look something up when nobody says where it "
    "stands: what is looked for, the query, is compared with every key, and "
    "behind each key there is a value.",
    "The results of the comparisons become shares which add up to one, and "
    "the answer is a mixture of all values in these shares, in which what "
    "suits best counts most.",
    "Nothing in this is a hard choice, so that a network can learn by itself "
    "what to look for, and afterwards one can see in the shares what it "
    "looked at.",
)

# %%
tell(
    """
    ## Looking up by likeness

    A dictionary answers only if one asks for exactly the word which it
    holds. Here are six notes, and three questions which share no important
    word with any of them. A small pre-trained network (MiniLM) turns each
    sentence into a vector, in such a way that sentences of like meaning
    point in like directions. The questions are the queries, the notes are
    the keys.
    """
)

# %%
notes = [
    "The cow in the barn gives milk.",
    "A hammer drives nails into a board.",
    "The moon pulls at the water of the oceans.",
    "Bread is baked from flour and yeast.",
    "The bridge leads across the river.",
    "Snow melts when spring comes.",
]
nouns = ["cow", "hammer", "moon", "bread", "bridge", "snow"]
asked = [
    "Which animal do we owe our cheese to?",
    "What tool does a carpenter need?",
    "Why is there high tide and low tide?",
]
reader = load(find_model("minilm"))
keys, queries = reader.embed(notes), reader.embed(asked)
likeness = queries @ keys.T
shares: list[Tensor] = []
attend(
    queries[None, None],
    keys[None, None],
    torch.eye(len(notes))[None, None],
    scale=12.0,
    record=shares,
)
looked = shares[0][0, 0]

# %%
heat(
    "How much of each note stands in the answer to each question; a row is a "
    "question, and its shares add up to one.",
    looked,
    asked,
    nouns,
    form=".0%",
    corner="question, note",
)
claim(
    f"The first question finds the cow with {looked[0, 0]:.0%}, the second "
    f"the hammer with {looked[1, 1]:.0%}, the third the moon with "
    f"{looked[2, 2]:.0%}. No note is left out entirely: the smallest share "
    f"of all is {looked.min():.2%}.",
    looked.argmax(1).tolist() == [0, 1, 2] and bool((looked > 0).all()),
)

# %%
tell(
    r"""
    ## One formula

    Vaswani et al. (2017), section 3.2.1, equation 1, write this for many
    queries at once, as rows of a matrix $Q$, with keys $K$ and values $V$:

    $$\mathrm{Attention}(Q, K, V) =
    \operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$

    Read from the inside: $QK^\top$ compares each query with each key, by a
    dot product; the division by $\sqrt{d_k}$, the root of the width of a
    key, is explained below; the softmax makes shares of scores,

    $$\operatorname{softmax}(s)_j = \frac{\exp(s_j)}{\sum_k \exp(s_k)}$$

    and the product with $V$ is the mixture. Bahdanau et al. (2014) had
    compared by a small network instead, $v_a^\top \tanh(W_a s + U_a h)$,
    and did the rest in the same way. So in regard both end in the same
    lines:
    """
)
source(weigh)

# %%
scores = torch.tensor([1.0, 2.0, 5.0]).log()
values = torch.tensor([10.0, 20.0, 40.0])
by_hand = scores.exp() / scores.exp().sum()
mixture = float(by_hand @ values)
same = attend(
    torch.ones(1, 1, 1, 1),
    scores.view(1, 1, 3, 1),
    values.view(1, 1, 3, 1),
    scale=1.0,
)

# %%
table(
    "An example for pencil and paper: scores which are logarithms, so that "
    "the shares are fractions.",
    ["key", "score $s$", r"$\exp(s)$", "share", "value", "share times value"],
    [
        [f"key {n + 1}", *map(float, row)]
        for n, row in enumerate(
            zip(
                scores,
                scores.exp(),
                by_hand,
                values,
                by_hand * values,
                strict=True,
            )
        )
    ],
)
claim(
    f"The last column adds up to {mixture:g}, and regard's `attend` gives "
    f"{same.item():g}.",
    math.isclose(mixture, same.item(), rel_tol=1e-6),
)

# %%
torch.manual_seed(1)
Q, K, V = torch.randn(3, 2, 4, 50, 16)
with kernel("reference"):
    reference = attend(Q, K, V)
printed = torch.softmax(Q @ K.mT / math.sqrt(16), -1) @ V
differs = max(
    float((reference - printed).abs().max()),
    float((attend(Q, K, V) - printed).abs().max()),
)
seen = 30
is_seen = (torch.arange(50) < seen).repeat(2, 1)
is_seen[1] = False
hidden: list[Tensor] = []
masked = attend(Q, K, V, mask=padding(is_seen), record=hidden)

# %%
claim(
    "For large matrices the formula is computed by faster kernels, which "
    "never write down all shares; on random input they and the formula "
    f"as printed differ by at most {differs:.0e}.",
    differs < 1e-5,
)
claim(
    "A *mask* says which keys a query may see at all. Here it may see the "
    f"first {seen} of fifty: the shares of the others add up to "
    f"{hidden[0][0, :, :, seen:].sum():g}, those of the first still to "
    f"{hidden[0][0, 0, 0, :seen].sum():.3f}. A query which may see nothing "
    "at all gets zeros.",
    float(hidden[0][0, :, :, seen:].sum()) == 0
    and bool(torch.isclose(hidden[0][0].sum(-1), torch.ones(4, 50)).all())
    and float(masked[1].abs().max()) == 0,
)

# %%
tell(
    """
    ## Between the mean and the choice

    Dividing scores by a *temperature* before the softmax decides how
    picky the look-up is. Very hot, everything gets the same share, and the
    answer is the mean of all values; very cold, the best key gets all, and
    the answer is a choice.
    """
)

# %%
scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
temperatures = torch.logspace(-0.7, 1.5, 34)
warmed = torch.softmax(scores / temperatures[:, None], -1)

# %%
curves(
    "Shares of four keys by the temperature.",
    "temperature",
    "share",
    [round(value, 3) for value in temperatures.tolist()],
    {
        f"score {score:g}": shares.tolist()
        for score, shares in zip(scores.tolist(), warmed.T, strict=True)
    },
    prepare=lambda axes: axes.set_xscale("log"),
)
claim(
    f"At a temperature of {temperatures[0]:.1f} the best key has "
    f"{warmed[0, 0]:.2%}; at {temperatures[-1]:.0f} it has "
    f"{warmed[-1, 0]:.1%}, not far from the {1 / 4:.0%} of an equal share.",
    bool(warmed[0, 0] > 0.99) and bool((warmed[-1, 0] - 0.25).abs() < 0.02),
)

# %%
chosen = scores.clone().requires_grad_()
jacobian = torch.autograd.functional.jacobian(
    lambda s: torch.softmax(s, -1), scores
)
w = torch.softmax(scores, -1)
formula = torch.diag(w) - torch.outer(w, w)
off = float((jacobian - formula).abs().max())

# %%
tell(
    r"""
    A choice cannot be learned by gradients: moving a score a little does
    not change which one is largest. Shares do move. With $w$ for the
    shares, the derivative of the softmax is

    $$\frac{\partial w_i}{\partial s_j} = w_i (\delta_{ij} - w_j)$$

    Each is large while several keys compete, and vanishes once a key has
    all. To find out what to attend to, a network must begin undecided.
    """
)
claim(
    "Computed by automatic differentiation, the derivatives are those of "
    f"the formula, to {off:.0e}; their sum over the diagonal, "
    rf"$\sum_i w_i (1 - w_i)$, is {float(jacobian.trace()):.2f} here.",
    off < 1e-6,
)

# %%
tell(
    r"""
    ## Why the scores are divided by $\sqrt{d_k}$

    "We suspect that for large values of $d_k$, the dot products grow large
    in magnitude, pushing the softmax function into regions where it has
    extremely small gradients" (Vaswani et al. 2017, section 3.2.1). Their
    footnote gives the reason: if the components of $q$ and $k$ are
    independent, with mean zero and variance one, then
    $q \cdot k = \sum_{i=1}^{d_k} q_i k_i$ has variance $d_k$. Measured:
    """
)

# %%
torch.manual_seed(1)
widths = [2**n for n in range(1, 11)]
variances, plain_slopes, scaled_slopes, plain_best, scaled_best = (
    [] for _ in range(5)
)
for width in widths:
    query, key = torch.randn(2000, 1, width), torch.randn(2000, 16, width)
    products = (query * key).sum(-1)  # of 16 keys each
    variances.append(float(products.var()))
    for divisor, slopes, best in (
        (1.0, plain_slopes, plain_best),
        (math.sqrt(width), scaled_slopes, scaled_best),
    ):
        shares_of = torch.softmax(products / divisor, -1)
        slopes.append(float((shares_of * (1 - shares_of)).sum(-1).mean()))
        best.append(float(shares_of.amax(-1).mean()))
ratios = [
    variance / width for variance, width in zip(variances, widths, strict=True)
]

# %%
curves(
    "The variance of dot products, and $d_k$ itself, which it should be.",
    "$d_k$",
    "variance",
    widths,
    {"measured": variances, "$d_k$": widths},
    prepare=lambda axes: axes.set(xscale="log", yscale="log"),
)
claim(
    f"From $d_k$ of {widths[0]} to {widths[-1]:,}, the measured variance is "
    f"between {min(ratios):.2f} and {max(ratios):.2f} times $d_k$.",
    min(ratios) > 0.9 and max(ratios) < 1.1,
)
curves(
    r"What is left of the gradient, $\sum_i w_i (1 - w_i)$, on average over "
    "random queries with sixteen keys each.",
    "$d_k$",
    "slope of the softmax",
    widths,
    {"not divided": plain_slopes, r"divided by $\sqrt{d_k}$": scaled_slopes},
    prepare=lambda axes: axes.set(xscale="log", ylim=(0, 1)),
)
claim(
    f"At $d_k = {widths[-1]}$ undivided scores leave {plain_slopes[-1]:.2f}, "
    f"and one key out of sixteen has {plain_best[-1]:.0%} already, before "
    f"anything was learned; divided ones leave {scaled_slopes[-1]:.2f}, as "
    f"at $d_k = {widths[3]}$ with {scaled_slopes[3]:.2f}.",
    plain_slopes[-1] < 0.15 < 0.7 < scaled_slopes[-1]
    and abs(scaled_slopes[-1] - scaled_slopes[3]) < 0.05,
)

# %%
tell(
    """
    ## A network learns where to look

    A telephone book: six names in any order, each with a digit. Asked for
    one of the names, a network must say its digit. Nothing can be learned
    by heart, for each book is new; what can be learned is *to look the
    name up*. Names and digits are embedded; the name which is asked for is
    the query, the names in the book are keys, the digits values.

    Beside it, the same network without attention: it is given the plain
    mean of the values.
    """
)

# %%
NAMES = (
    *("Romeo", "Juliet", "Mercutio", "Benvolio", "Tybalt", "Paris"),
    *("Rosaline", "Laurence", "Peter", "Gregory", "Sampson", "Abraham"),
)


class Operator(nn.Module):
    """Says the digit of a name in a book of names and digits."""

    def __init__(self, *, attends: bool, width: int = 32):
        """Make the tables, and the layer which says the digit."""
        super().__init__()
        self.attends = attends
        self.asked = nn.Embedding(len(NAMES), width)
        self.name = nn.Embedding(len(NAMES), width)
        self.digit = nn.Embedding(10, width)
        self.answer = nn.Linear(width, 10)

    def forward(self, names: Tensor, digits: Tensor, asked: Tensor) -> Tensor:
        """Books [B, S] and names asked for [B, T] -> scores [B, T, 10]."""
        value = self.digit(digits)
        if not self.attends:
            mean = value.mean(1, keepdim=True)
            return self.answer(mean).expand(-1, asked.shape[1], -1)
        mixed = attend(
            self.asked(asked)[:, None],
            self.name(names)[:, None],
            value[:, None],
        )
        return self.answer(mixed[:, 0])

    def looks(self, names: Tensor, asked: Tensor) -> Tensor:
        """Give the shares [T, S] over one book."""
        record: list[Tensor] = []
        query, key = self.asked(asked), self.name(names)
        attend(*(x[None, None] for x in (query, key, key)), record=record)
        return record[0][0, 0]


def books(count: int) -> tuple[Tensor, Tensor]:
    """Make names [B, 6], no name twice in a book, and digits [B, 6]."""
    names = torch.rand(count, len(NAMES)).argsort(-1)[:, :6]
    return names, torch.randint(10, names.shape)


# %%
torch.manual_seed(1)
torch.set_num_threads(1)  # networks as small as these gain nothing from more
operators = {
    "with attention": Operator(attends=True),
    "without": Operator(attends=False),
}
one_book = torch.randperm(len(NAMES))[:6]
before = operators["with attention"].looks(one_book, one_book)
losses: dict[str, list[float]] = {name: [] for name in operators}
for name, operator in operators.items():
    optimiser = torch.optim.Adam(operator.parameters(), lr=0.01)
    for _ in range(200):
        names, digits = books(128)
        told = operator(names, digits, names)
        loss = cross_entropy(told.flatten(0, 1), digits.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses[name].append(loss.item())
names, digits = books(2000)
right = {
    name: float(
        (operator(names, digits, names).argmax(-1) == digits).float().mean()
    )
    for name, operator in operators.items()
}
after = operators["with attention"].looks(one_book, one_book)
called = [NAMES[n] for n in one_book.tolist()]
diagonal = after.diagonal()

# %%
curves(
    "The loss while both learn, in nats; a guess among ten digits has "
    r"$\ln 10$.",
    "step",
    "loss",
    list(range(1, 201, 10)),
    {name: own[::10] for name, own in losses.items()},
)
claim(
    f"In new books the network with attention is right in "
    f"{right['with attention']:.1%}, the one without in "
    f"{right['without']:.0%}: the mean tells which digits there are, but "
    "not whose they are.",
    right["with attention"] > 0.99 and right["without"] < 0.4,
)
heat(
    "Where the trained network looks in one book. A row is the name which is "
    "asked for, a column a line of the book.",
    after.detach(),
    called,
    called,
    corner="asked for, line",
)
claim(
    f"On average {float(diagonal.mean()):.0%} of the share lie on the right "
    f"line. Before training it was {float(before.diagonal().mean()):.0%}. "
    "Nobody told the network to look there: it had only digits to learn "
    "from.",
    float(diagonal.min()) > 0.6 and float(before.diagonal().mean()) < 0.5,
)
attention(
    "The same shares before and after training, to point at",
    [
        Example(
            f"{when} training", [AttentionMap("book", own, called, called)]
        )
        for when, own in (("after", after), ("before", before))
    ],
)

# %%
tell(
    """
    ## What attention does not know: order

    A sum has no order. Shuffle the book, keys and values together, and the
    answer is the same; attention sees a set. A model of language has to add
    where each word stands, as the
    [third lesson](03_transformer.py) does.
    """
)

# %%
shuffle = torch.randperm(50)
moved = attend(Q, K[:, :, shuffle], V[:, :, shuffle])
unmoved = float((moved - attend(Q, K, V)).abs().max())

# %%
claim(
    "Shuffling fifty keys with their values changes the result by at most "
    f"{unmoved:.0e}, which is rounding.",
    unmoved < 1e-5,
)

# %%
equal = attend(torch.zeros_like(Q), K, V)
from_mean = float((equal - V.mean(-2, keepdim=True)).abs().max())
raised = torch.softmax(scores + 100.0, -1)
from_raised = float((raised - torch.softmax(scores, -1)).abs().max())


def operations(length: int) -> int:
    """Count the floating-point operations of attention over a length."""
    inputs = torch.randn(3, 1, 1, length, 64)
    with FlopCounterMode(display=False) as counter, kernel("reference"):
        attend(*inputs)
    return counter.get_total_flops()


growth = operations(512) / operations(256)

# %%
question(
    "What does attention give when the query suits all keys equally well?",
    "The mean of all values: equal scores make equal shares. With a query "
    f"of zeros the result differs from the mean by at most {from_mean:.0e}.",
    from_mean < 1e-5,
)
question(
    "What changes if the same number is added to every score of a query?",
    r"Nothing, since $\exp(s + c) = \exp(c) \exp(s)$, and $\exp(c)$ "
    "cancels: only differences of scores count. Adding one hundred changes "
    f"the shares by at most {from_raised:.1g}.",
    from_raised < 1e-5,
)
question(
    "How does the work grow when a text becomes twice as long?",
    "Each of twice as many queries is compared with each of twice as many "
    f"keys, so it grows {growth:g} times. That is the price of looking "
    "everywhere, and what the newer papers of the last lesson set out to "
    "lower.",
    growth == 4,
)

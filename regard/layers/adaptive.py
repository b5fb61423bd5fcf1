"""Adaptive embedding and softmax, for vocabularies of which most words are rare.

Words are sorted by frequency and cut into clusters; the rarer a cluster, the narrower its embeddings may be (Grave et
al. 2017; Baevski and Auli 2019), as Transformer-XL's published code has both.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from regard.layers.blocks import Stack
from regard.layers.linear import product


class AdaptiveEmbedding(nn.Module):
    """A table for each cluster of words, and a projection to the model's width.

    Args:
        vocabulary: V, words sorted by frequency.
        width: D, of the model and of the first table.
        cutoffs: the first word of each cluster after the first one, ascending; none for a single table.
        division: table i is `width // division**i` wide; with 1 there is a single table and no projection.

    Raises:
        ValueError: if the cutoffs do not ascend inside the vocabulary, the division is not positive, or a table would
            have no width.
    """

    def __init__(self, vocabulary: int, width: int, cutoffs: Sequence[int] = (), division: int = 1):
        super().__init__()
        ends = [0, *cutoffs, vocabulary]
        if any(first >= last for first, last in pairwise(ends)):
            raise ValueError(f"cutoffs must ascend between 0 and the vocabulary of {vocabulary}, got {list(cutoffs)}")
        if division < 1:
            raise ValueError(f"division must be 1 or more, got {division}")
        widths = [width // division**number for number in range(len(cutoffs) + 1)]
        if not widths[-1]:
            raise ValueError(f"division={division} leaves the last of {len(widths)} tables no width, of {width}")
        self.ends, self.width = ends, width
        if division == 1:
            self.tables, self.projections = Stack([nn.Embedding(vocabulary, width)]), Stack()
        else:
            sizes = [last - first for first, last in pairwise(ends)]
            self.tables = Stack(nn.Embedding(size, w) for size, w in zip(sizes, widths, strict=True))
            self.projections = Stack(nn.Linear(w, width, bias=False) for w in widths)

    def forward(self, tokens: Tensor) -> Tensor:
        """Ids [...] -> [..., D]."""
        if not len(self.projections):
            return self.tables[0](tokens)
        words, parts, places = tokens.flatten(), [], []
        for (first, last), table, projection in zip(pairwise(self.ends), self.tables, self.projections, strict=True):
            here = ((words >= first) & (words < last)).nonzero()[:, 0]
            parts.append(projection(table(words[here] - first)))
            places.append(here)
        order = torch.cat(places).argsort()
        return torch.cat(parts)[order].unflatten(0, tokens.shape)


class AdaptiveSoftmax(nn.Module):
    """Log-probabilities of words: that of a word's cluster, and that of the word in it.

    The first cluster's words and the other clusters themselves share one softmax. Tables, and the projections of all
    clusters but the first, are those of the embedding; biases are as many as tables.
    """

    def __init__(self, embedding: AdaptiveEmbedding):
        super().__init__()
        self.ends, clusters = embedding.ends, len(embedding.ends) - 2
        self.tables, self.projections = embedding.tables, embedding.projections
        self.biases = nn.ParameterList(torch.zeros(table.num_embeddings) for table in embedding.tables)
        self.clusters = nn.Linear(embedding.width, clusters) if clusters else None
        self.first = nn.Linear(embedding.width, embedding.width, bias=False) if len(self.projections) else None

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """The words of each cluster, [C, their width], and their biases, [C]."""
        if len(self.projections):
            return list(zip((table.weight for table in self.tables), self.biases, strict=True))
        sizes = [last - first for first, last in pairwise(self.ends)]  # one split: its backward fills one gradient
        return list(zip(self.tables[0].weight.split(sizes), self.biases[0].split(sizes), strict=True))

    def head(self, hidden: Tensor, words: Tensor, bias: Tensor) -> Tensor:
        """Log-probabilities of the first cluster's words, and of the other clusters, [N, C + clusters]."""
        hidden = hidden if self.first is None else self.first(hidden)
        scores = product(hidden, words, bias)
        if self.clusters is not None:
            scores = torch.cat([scores, self.clusters(hidden)], -1)
        return _log_softmax(scores)

    def tail(self, hidden: Tensor, cluster: int, words: Tensor, bias: Tensor) -> Tensor:
        """Log-probabilities of the words of a cluster (from 1), given it: [N, C]."""
        if len(self.projections):
            hidden = hidden @ self.projections[cluster].weight
        return _log_softmax(product(hidden, words, bias))

    def forward(self, hidden: Tensor) -> Tensor:
        """[N, D] -> log-probabilities of all words [N, V]."""
        first, *rest = self.parts()
        head, count = self.head(hidden, *first), self.ends[1]
        tails = [self.tail(hidden, n, *part) + head[:, count + n - 1, None] for n, part in enumerate(rest, 1)]
        return torch.cat([head[:, :count], *tails], -1)

    def likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of each target [N]; a cluster's words are computed for its own targets alone."""
        (words, bias), *rest = self.parts()
        head, count = self.head(hidden, words, bias), self.ends[1]
        column = targets.clone()
        parts, places = [], []
        for cluster, ((first, last), part) in enumerate(zip(pairwise(self.ends[1:]), rest, strict=True), 1):
            here = ((targets >= first) & (targets < last)).nonzero()[:, 0]
            column[here] = count + cluster - 1
            parts.append(self.tail(hidden[here], cluster, *part).gather(1, targets[here, None] - first)[:, 0])
            places.append(here)
        result = head.gather(1, column[:, None])[:, 0]
        return result.index_add(0, torch.cat(places), torch.cat(parts)) if places else result


def _log_softmax(scores: Tensor) -> Tensor:
    """Log-probabilities in float32 at least, whatever products are computed in."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)

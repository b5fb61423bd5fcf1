"""RNNsearch as tutorials write it: torch.nn.GRU reads the source, a loop over torch.nn.GRUCell with attention writes.

The sizes, and so the arithmetic of a word, are regard's: the same embeddings, the same additive attention, the same
deep maxout output. The differences are the loop over padded batches, the output layer inside it, and torch's own GRU,
which resets after its product where the paper's resets before.
"""

import torch
from torch import Tensor, nn

from benchmarks.material import PAD
from regard.models.rnnsearch import RNNSearchConfig


class GRULoop(nn.Module):
    """Encoder, attention and decoder; the projection of the annotations is computed at each step."""

    def __init__(self, config: RNNSearchConfig):
        super().__init__()
        c = config
        self.source = nn.Embedding(c.source_vocabulary, c.embedding, PAD)
        self.target = nn.Embedding(c.target_vocabulary, c.embedding, PAD)
        self.encoder = nn.GRU(c.embedding, c.width, batch_first=True, bidirectional=True)
        self.first = nn.Linear(c.width, c.width)
        self.query = nn.Linear(c.width, c.alignment, bias=False)
        self.key = nn.Linear(2 * c.width, c.alignment, bias=False)
        self.energy = nn.Linear(c.alignment, 1, bias=False)
        self.cell = nn.GRUCell(c.embedding + 2 * c.width, c.width)
        self.read = nn.Linear(c.embedding + 3 * c.width, 2 * c.maxout)
        self.deep = nn.Linear(c.maxout, c.embedding, bias=False)
        self.output = nn.Linear(c.embedding, c.target_vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """[B, S] and [B, T] -> [B, T, V], each word given those before it."""
        is_token = source != PAD
        read = nn.utils.rnn.pack_padded_sequence(
            self.source(source), is_token.sum(1), batch_first=True, enforce_sorted=False
        )
        packed, last = self.encoder(read)
        annotations, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)  # [B, S, 2 D]
        state = torch.tanh(self.first(last[1]))
        keys = self.keys(annotations)
        words = self.target(torch.cat([torch.full_like(target[:, :1], PAD), target[:, :-1]], 1))
        scores = []
        for word in words.unbind(1):
            keys_now = self.key(annotations) if keys is None else keys
            energies = self.energy(torch.tanh(self.query(state)[:, None] + keys_now)).squeeze(-1)
            weights = energies.masked_fill(~is_token, -torch.inf).softmax(-1)
            context = torch.bmm(weights[:, None], annotations)[:, 0]
            state = self.cell(torch.cat([word, context], -1), state)
            read_out = self.read(torch.cat([state, word, context], -1))
            scores.append(self.output(self.deep(read_out.unflatten(-1, (-1, 2)).amax(-1))))
        return torch.stack(scores, 1)

    def keys(self, annotations: Tensor) -> Tensor | None:
        """What is known of the attention's keys before the loop: nothing."""
        return None


class GRULoopWithKeysOnce(GRULoop):
    """The same, with the projection of the annotations [B, S, A] computed once, as a careful author would."""

    def keys(self, annotations: Tensor) -> Tensor | None:
        """The keys of the attention, [B, S, A]."""
        return self.key(annotations)

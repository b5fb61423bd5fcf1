"""Recurrent units as their papers write them, over packed sequences and without padding.

`step` is the paper's equations. Over a whole batch the same unit runs as one `scan`: sequences are read in step, the
longest first, and each step computes only those which are not over yet; what does not depend on the last state (the
products with the inputs, and all gradients of weights) is one large matrix product before or after the loop.
"""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Timeline:
    """The order in which packed sequences are read in step.

    Args:
        lengths: of the B packed sequences, [B], in host memory.
        backward: read each sequence from its end.
    """

    def __init__(self, lengths: Tensor, *, backward: bool = False):
        self.lengths, self.backward = lengths, backward
        self.rows = lengths.argsort(descending=True, stable=True)  # which sequence stands in each row, [B]
        ordered = lengths[self.rows]
        steps = torch.arange(int(ordered[0]))
        self.sizes: list[int] = (ordered[None] > steps[:, None]).sum(1).tolist()  # rows alive at each step

    @cached_property
    def order(self) -> Tensor:
        """The packed place of each token in reading order, [N]."""
        ordered = self.lengths[self.rows]
        steps = torch.arange(len(self.sizes))[:, None]
        starts = (self.lengths.cumsum(0) - self.lengths)[self.rows]
        places = (ordered - 1 - steps if self.backward else steps) + starts
        return places[ordered > steps]

    @cached_property
    def inverse(self) -> Tensor:
        """The place in reading order of each packed token, [N]."""
        return torch.empty_like(self.order).scatter_(0, self.order, torch.arange(len(self.order)))

    @cached_property
    def last(self) -> Tensor:
        """The place in reading order of the last token read of each sequence, [B]."""
        starts = torch.tensor(self.sizes).cumsum(0) - torch.tensor(self.sizes)
        row = torch.empty_like(self.rows).scatter_(0, self.rows, torch.arange(len(self.rows)))
        return starts[self.lengths - 1] + row

    @cached_property
    def spans(self) -> list[tuple[int, int, int]]:
        """Of each step: its first place in reading order, the rows alive in it, and those alive in the next."""
        first, spans = 0, []
        for size, following in zip(self.sizes, [*self.sizes[1:], 0], strict=True):
            spans.append((first, size, following))
            first += size
        return spans


class GRU(nn.Module):
    """Gated unit whose reset gate acts before the recurrent product (Cho et al. 2014, section 2.3).

        r = sigma(W_r x + U_r h)    z = sigma(W_z x + U_z h)    c = tanh(W x + b + U (r * h))    h' = z c + (1 - z) h

    The update gate z lets the candidate in, as in the authors' code and in Bahdanau et al. 2015; the text of Cho et al.
    has the gates of old and new exchanged. `torch.nn.GRU` resets after the product: its weights cannot stand in.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.width = width
        self.input = nn.Linear(inputs, 3 * width, bias=False)  # W_r, W_z, W
        self.gates = nn.Linear(width, 2 * width, bias=False)  # U_r, U_z
        self.candidate = nn.Linear(width, width, bias=False)  # U
        self.bias = nn.Parameter(torch.zeros(width))  # b

    def project(self, x: Tensor) -> Tensor:
        """What the inputs [..., I] add to reset gate, update gate and candidate: [..., 3 D]."""
        return self.input(x) + nn.functional.pad(self.bias, (2 * self.width, 0))

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        """Projected input [B, 3 D] and state [B, D] -> the next state [B, D]."""
        x_gates, x_candidate = projected.split([2 * self.width, self.width], -1)
        reset, update = torch.sigmoid(x_gates + self.gates(state)).chunk(2, -1)
        candidate = torch.tanh(x_candidate + self.candidate(reset * state))
        # under autocast the products are in half precision and the sum with the bias is not, nor is the state then
        return torch.lerp(state.type_as(candidate), candidate, update.type_as(candidate))

    def scan(self, projected: Tensor, state: Tensor, timeline: Timeline) -> Tensor:
        """Projected inputs [N, 3 D] in reading order and first states [B, D] in rows -> states [N, D]."""
        return full_precision(_GRUScan.apply, projected, state, self.gates.weight, self.candidate.weight, timeline)

    def forward(self, x: Tensor, timeline: Timeline) -> Tensor:
        """Packed inputs [N, I] -> packed states [N, D], from the zero state."""
        order, inverse = timeline.order.to(x.device), timeline.inverse.to(x.device)
        state = x.new_zeros(len(timeline.lengths), self.width)
        return self.scan(self.project(x[order]), state, timeline)[inverse]


class LSTM(nn.Module):
    """Long short-term memory without peepholes (Graves 2013, as Sutskever et al. 2014 use it).

    i, f, o = sigma(W x + U h + b)    g = tanh(W x + U h + b)    c' = f c + i g    h' = o tanh(c')
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.width = width
        self.input = nn.Linear(inputs, 4 * width)  # W and b of i, f, o, g
        self.recurrent = nn.Linear(width, 4 * width, bias=False)  # U of i, f, o, g

    def step(self, x: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Input [B, I], state and cell [B, D] -> the next state and cell."""
        gates = self.input(x) + self.recurrent(state)
        let_in, forget, let_out = torch.sigmoid(gates[:, : 3 * self.width]).chunk(3, -1)
        cell = forget * cell + let_in * torch.tanh(gates[:, 3 * self.width :])
        return let_out * torch.tanh(cell), cell

    def forward(self, x: Tensor, state: Tensor, cell: Tensor, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """Inputs [N, I] in reading order, first state and cell [B, D] in rows -> states and cells [N, D]."""
        return full_precision(_LSTMScan.apply, self.input(x), state, cell, self.recurrent.weight, timeline)


def full_precision(scan: Callable, *inputs):
    """Run a scan in float32 or better, whatever autocast says: its states are sums over many steps."""
    inputs = tuple(
        x.float() if isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x for x in inputs
    )
    with torch.autocast(inputs[0].device.type, enabled=False):
        return scan(*inputs)


def gru_forward(projected: Tensor, state: Tensor, gates: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step over rows: the next state [n, D], the gates [n, 2 D] and the candidate [n, D]."""
    width = state.shape[1]
    opened = torch.addmm(projected[:, : 2 * width], state, gates.T).sigmoid_()
    proposed = torch.addmm(projected[:, 2 * width :], opened[:, :width] * state, candidate.T).tanh_()
    return torch.lerp(state, proposed, opened[:, width:]), opened, proposed


def gru_backward(
    gradient: Tensor, state: Tensor, opened: Tensor, proposed: Tensor, gates: Tensor, candidate: Tensor, into: Tensor
) -> Tensor:
    """The step backwards: writes the gradient of the projected input `into` [n, 3 D], gives that of the state."""
    width = state.shape[1]
    reset, update = opened[:, :width], opened[:, width:]
    torch.mul(gradient * update, 1 - proposed * proposed, out=into[:, 2 * width :])
    product = into[:, 2 * width :] @ candidate  # gradient of reset * state
    torch.mul(product * state, reset * (1 - reset), out=into[:, :width])
    torch.mul(gradient * (proposed - state), update * (1 - update), out=into[:, width : 2 * width])
    carried = torch.addcmul(gradient - gradient * update, product, reset)
    return carried.addmm_(into[:, : 2 * width], gates)


class _GRUScan(torch.autograd.Function):
    """All steps of a GRU, with the gradients of its weights as two matrix products."""

    @staticmethod
    def forward(ctx, projected, state, gates, candidate, timeline):  # pyright: ignore[reportIncompatibleMethodOverride]
        total, width = len(projected), state.shape[1]
        states, before, proposals = (projected.new_empty(total, width) for _ in range(3))
        openings = projected.new_empty(total, 2 * width)
        for first, size, _ in timeline.spans:
            here = slice(first, first + size)
            before[here] = state[:size]
            state, openings[here], proposals[here] = gru_forward(projected[here], before[here], gates, candidate)
            states[here] = state
        ctx.save_for_backward(before, openings, proposals, gates, candidate)
        ctx.timeline = timeline
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        before, openings, proposals, gates, candidate = ctx.saved_tensors
        width, spans = before.shape[1], ctx.timeline.spans
        inputs = before.new_empty(len(before), 3 * width)
        carried = before.new_zeros(spans[0][1], width)
        for first, size, _ in reversed(spans):
            here = slice(first, first + size)
            gradient = gradients[here] + carried[:size]
            carried[:size] = gru_backward(
                gradient, before[here], openings[here], proposals[here], gates, candidate, inputs[here]
            )
        to_gates = inputs[:, : 2 * width].T @ before
        to_candidate = inputs[:, 2 * width :].T @ (openings[:, :width] * before)
        return inputs, carried, to_gates, to_candidate, None


class _LSTMScan(torch.autograd.Function):
    """All steps of an LSTM, with the gradient of its weights as one matrix product."""

    @staticmethod
    def forward(ctx, projected, state, cell, recurrent, timeline):  # pyright: ignore[reportIncompatibleMethodOverride]
        total, width = len(projected), state.shape[1]
        states, before, cells, cells_before, squashed = (projected.new_empty(total, width) for _ in range(5))
        openings = projected.new_empty(total, 4 * width)
        weight = recurrent.T
        for first, size, _ in timeline.spans:
            here = slice(first, first + size)
            before[here], cells_before[here] = state[:size], cell[:size]
            opened = torch.addmm(projected[here], state[:size], weight)
            opened[:, : 3 * width].sigmoid_()
            opened[:, 3 * width :].tanh_()
            let_in, forget, let_out, proposed = opened.chunk(4, -1)
            cell = torch.addcmul(forget * cell[:size], let_in, proposed)
            squash = cell.tanh()
            state = let_out * squash
            openings[here], squashed[here], states[here], cells[here] = opened, squash, state, cell
        ctx.save_for_backward(before, cells_before, squashed, openings, recurrent)
        ctx.timeline = timeline
        return states, cells

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients, cell_gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        before, cells_before, squashed, openings, recurrent = ctx.saved_tensors
        width, spans = before.shape[1], ctx.timeline.spans
        inputs = before.new_empty(len(before), 4 * width)
        carried, cell_carried = (before.new_zeros(spans[0][1], width) for _ in range(2))
        for first, size, _ in reversed(spans):
            here = slice(first, first + size)
            let_in, forget, let_out, proposed = openings[here].chunk(4, -1)
            squash = squashed[here]
            state = gradients[here] + carried[:size]
            cell = torch.addcmul(cell_gradients[here] + cell_carried[:size], state * let_out, 1 - squash * squash)
            to_in, to_forget, to_out, to_proposed = inputs[here].chunk(4, -1)
            torch.mul(cell * proposed, let_in * (1 - let_in), out=to_in)
            torch.mul(cell * cells_before[here], forget * (1 - forget), out=to_forget)
            torch.mul(state * squash, let_out * (1 - let_out), out=to_out)
            torch.mul(cell * let_in, 1 - proposed * proposed, out=to_proposed)
            torch.mul(cell, forget, out=cell_carried[:size])
            torch.mm(inputs[here], recurrent, out=carried[:size])
        return inputs, carried, cell_carried, inputs.T @ before, None

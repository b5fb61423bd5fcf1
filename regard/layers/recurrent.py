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
    def moves(self) -> Tensor:
        """The places in reading order of all tokens but the last of each sequence."""
        first, places = 0, []
        for size, following in zip(self.sizes, self.sizes[1:], strict=False):
            places.append(torch.arange(first, first + following))
            first += size
        return torch.cat(places) if places else torch.empty(0, dtype=torch.int64)


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


class GRUTape:
    """Steps of a GRU over rows, and what of them the way back needs.

    Args:
        projected: what inputs add to the gates and the candidate [M, 3 D], all steps end to end; a step reads its part
            when it is made, so that it may be written as late as that.
        sizes: rows of each step.
        gates: U_r and U_z, [2 D, D].
        candidate: U, [D, D].
    """

    def __init__(self, projected: Tensor, sizes: list[int], gates: Tensor, candidate: Tensor):
        self.width = len(candidate)
        self.opened = projected.new_empty(len(projected), 2 * self.width)  # r and z
        self.proposed = projected.new_empty(len(projected), self.width)  # c
        to_gates, to_candidate = projected.split([2 * self.width, self.width], 1)
        self._inputs = list(zip(to_gates.split(sizes), to_candidate.split(sizes), strict=True))
        self._outputs = list(zip(self.opened.split(sizes), self.proposed.split(sizes), strict=True))
        self._gates, self._candidate = gates.T, candidate.T

    def step(self, number: int, state: Tensor, out: Tensor | None = None) -> Tensor:
        """States [n, D] -> the next states, into `out` where it is given."""
        (to_gates, to_candidate), (opened, proposed) = self._inputs[number], self._outputs[number]
        torch.addmm(to_gates, state, self._gates, out=opened).sigmoid_()
        torch.addmm(to_candidate, opened[:, : self.width] * state, self._candidate, out=proposed).tanh_()
        return torch.lerp(state, proposed, opened[:, self.width :], out=out)


class GRUWayBack:
    """The same steps backwards: the gradients of inputs, states and weights.

    Args:
        before: the states before each step, [M, D].
        opened: the tape's.
        proposed: the tape's.
        sizes: rows of each step.
        gates: U_r and U_z.
        candidate: U.
    """

    def __init__(
        self, before: Tensor, opened: Tensor, proposed: Tensor, sizes: list[int], gates: Tensor, candidate: Tensor
    ):
        width = before.shape[1]
        reset, update = opened[:, :width].contiguous(), opened[:, width:]
        self.inputs = before.new_empty(len(before), 3 * width)  # gradient of the projected inputs
        self._before, self._read = before, reset * before
        # all that does not depend on the gradient which comes from later steps
        factors = (
            update * (1 - proposed * proposed),  # to the candidate
            self._read * (1 - reset),  # to the reset gate
            (proposed - before) * (update * (1 - update)),  # to the update gate
            1 - update,  # to the state, straight
            reset,
        )
        self._factors = list(zip(*(factor.split(sizes) for factor in factors), strict=True))
        parts = (self.inputs[:, : 2 * width], *self.inputs.split(width, 1))
        self._parts = list(zip(*(part.split(sizes) for part in parts), strict=True))
        self._gates, self._candidate = gates, candidate

    def step(self, number: int, gradient: Tensor) -> Tensor:
        """The gradient of the next states [n, D] -> that of the states."""
        to_candidate, to_reset, to_update, straight, reset = self._factors[number]
        gates, into_reset, into_update, into_candidate = self._parts[number]
        torch.mul(gradient, to_candidate, out=into_candidate)
        product = into_candidate @ self._candidate  # gradient of reset * state
        torch.mul(product, to_reset, out=into_reset)
        torch.mul(gradient, to_update, out=into_update)
        return (gradient * straight).addcmul_(product, reset).addmm_(gates, self._gates)

    def weights(self) -> tuple[Tensor, Tensor]:
        """The gradients of `gates` and `candidate`, once all steps are made."""
        width = self._before.shape[1]
        return self.inputs[:, : 2 * width].T @ self._before, self.inputs[:, 2 * width :].T @ self._read


def states_before(states: Tensor, first: Tensor, sizes: list[int]) -> Tensor:
    """The states [N, D] before each step, from those after it and the first ones [B, D]."""
    after = states.split(sizes)
    return torch.cat([first[: sizes[0]], *(x[:size] for x, size in zip(after, sizes[1:], strict=False))])


def joined(gradient: Tensor, later: Tensor | None) -> Tensor:
    """A step's own gradient [n, D], and that which comes from the rows [m, D] which go on."""
    if later is None:
        return gradient
    if len(later) == len(gradient):
        return gradient + later
    return torch.cat([gradient[: len(later)] + later, gradient[len(later) :]])


class _GRUScan(torch.autograd.Function):
    """All steps of a GRU, with the gradients of its weights as two matrix products."""

    @staticmethod
    def forward(ctx, projected, state, gates, candidate, timeline):  # pyright: ignore[reportIncompatibleMethodOverride]
        sizes = timeline.sizes
        tape = GRUTape(projected, sizes, gates, candidate)
        states = projected.new_empty(len(projected), tape.width)
        first = state
        for number, out in enumerate(states.split(sizes)):
            state = tape.step(number, state if len(state) == len(out) else state[: len(out)], out)
        ctx.save_for_backward(first, states, tape.opened, tape.proposed, gates, candidate)
        ctx.timeline = timeline
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        first, states, opened, proposed, gates, candidate = ctx.saved_tensors
        sizes = ctx.timeline.sizes
        back = GRUWayBack(states_before(states, first, sizes), opened, proposed, sizes, gates, candidate)
        own, later = gradients.split(sizes), None
        for number in reversed(range(len(sizes))):
            later = back.step(number, joined(own[number], later))
        return back.inputs, later, *back.weights(), None


class _LSTMScan(torch.autograd.Function):
    """All steps of an LSTM, with the gradient of its weights as one matrix product."""

    @staticmethod
    def forward(ctx, projected, state, cell, recurrent, timeline):  # pyright: ignore[reportIncompatibleMethodOverride]
        sizes, width, weight = timeline.sizes, state.shape[1], recurrent.T
        first, first_cell = state, cell
        states, cells, squashed = (projected.new_empty(len(projected), width) for _ in range(3))
        opened = torch.empty_like(projected)
        sigmoids, tanhs = opened.split([3 * width, width], 1)
        parts = (projected, opened, sigmoids, tanhs, *opened.split(width, 1), states, cells, squashed)
        for step in zip(*(part.split(sizes) for part in parts), strict=True):
            x, gates, sigmoid, tanh, let_in, forget, let_out, proposed, to_state, to_cell, squash = step
            if len(state) > len(x):
                state, cell = state[: len(x)], cell[: len(x)]
            torch.addmm(x, state, weight, out=gates)
            sigmoid.sigmoid_()
            tanh.tanh_()
            cell = torch.mul(forget, cell, out=to_cell).addcmul_(let_in, proposed)
            state = torch.mul(let_out, torch.tanh(cell, out=squash), out=to_state)
        ctx.save_for_backward(first, first_cell, states, cells, squashed, opened, recurrent)
        ctx.timeline = timeline
        return states, cells

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients, cell_gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        first, first_cell, states, cells, squashed, opened, recurrent = ctx.saved_tensors
        sizes, width = ctx.timeline.sizes, states.shape[1]
        let_in, forget, let_out, proposed = opened.split(width, 1)
        inputs = torch.empty_like(opened)
        # all that does not depend on the gradients which come from later steps
        factors = (
            let_out * (1 - squashed * squashed),  # of the state, to the cell
            proposed * let_in * (1 - let_in),  # of the cell, to each gate
            states_before(cells, first_cell, sizes) * forget * (1 - forget),
            squashed * let_out * (1 - let_out),  # of the state
            let_in * (1 - proposed * proposed),
            forget.contiguous(),
        )
        parts = (gradients, cell_gradients, *factors, inputs, *inputs.split(width, 1))
        state_later = cell_later = None
        for step in reversed(list(zip(*(part.split(sizes) for part in parts), strict=True))):
            own, own_cell, to_cell, to_in, to_forget, to_out, to_proposed, carry, here, *into = step
            state, cell = joined(own, state_later), joined(own_cell, cell_later)
            cell = torch.addcmul(cell, state, to_cell)
            for value, factor, out in zip(
                (cell, cell, state, cell), (to_in, to_forget, to_out, to_proposed), into, strict=True
            ):
                torch.mul(value, factor, out=out)
            cell_later, state_later = cell * carry, here @ recurrent
        return inputs, state_later, cell_later, inputs.T @ states_before(states, first, sizes), None

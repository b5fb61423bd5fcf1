"""Scans over packed sequences beside their own steps, beside torch's LSTM, and beside derivatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.testing import assert_close

from regard.layers.recurrent import GRU, LSTM, Timeline, full_precision
from regard.models.rnnsearch import _Search

LENGTHS = torch.tensor([2, 5, 1, 3, 5])


def drawn(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, 0.6)
    return module.double()


def numbers(*shape: int, **options) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.booleans())
def test_a_timeline_reads_the_longest_first_step_by_step(lengths, backward):
    timeline = Timeline(torch.tensor(lengths), backward=backward)
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    rows = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    order, sizes, last = [], [], {}
    for step in range(max(lengths)):
        alive = [n for n in rows if lengths[n] > step]
        sizes.append(len(alive))
        for n in alive:
            last[n] = len(order)
            order.append(starts[n] + (lengths[n] - 1 - step if backward else step))
    assert timeline.rows.tolist() == rows
    assert timeline.sizes == sizes
    assert timeline.order.tolist() == order
    assert timeline.order[timeline.inverse].tolist() == list(range(sum(lengths)))
    assert timeline.last.tolist() == [last[n] for n in range(len(lengths))]
    starts = [sum(sizes[:step]) for step in range(len(sizes))]
    moves = [start + row for start, following in zip(starts, sizes[1:], strict=False) for row in range(following)]
    assert timeline.moves.tolist() == moves


def test_a_gru_step_is_the_papers_equations():
    torch.manual_seed(0)
    unit, x, h = drawn(GRU(3, 4)), numbers(2, 3), numbers(2, 4)
    w_r, w_z, w = unit.input.weight.chunk(3)
    u_r, u_z = unit.gates.weight.chunk(2)
    r, z = (1 / (1 + (-(x @ a.T + h @ b.T)).exp()) for a, b in ((w_r, u_r), (w_z, u_z)))
    candidate = torch.tanh(x @ w.T + unit.bias + (r * h) @ unit.candidate.weight.T)
    assert_close(unit.step(unit.project(x), h), z * candidate + (1 - z) * h, atol=1e-14, rtol=1e-14)


@pytest.mark.parametrize("backward", [False, True])
def test_a_gru_over_packed_sequences_is_its_steps_over_each(backward):
    torch.manual_seed(0)
    unit, x = drawn(GRU(3, 4)), numbers(int(LENGTHS.sum()), 3)
    wanted = []
    for sequence in x.split(LENGTHS.tolist()):
        state, states = numbers(1, 4) * 0, []
        for word in sequence.flip(0) if backward else sequence:
            state = unit.step(unit.project(word[None]), state)
            states.append(state)
        wanted += states[::-1] if backward else states
    assert_close(unit(x, Timeline(LENGTHS, backward=backward)), torch.cat(wanted), atol=1e-14, rtol=1e-14)


def test_an_lstm_over_packed_sequences_is_torchs_with_the_same_weights():
    torch.manual_seed(0)
    unit, theirs = drawn(LSTM(3, 4)), nn.LSTM(3, 4).double()
    # ours stand as in, forget, out, candidate; theirs as in, forget, candidate, out
    order = torch.arange(16).view(4, 4)[[0, 1, 3, 2]].flatten()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(unit.input.weight[order])
        theirs.bias_ih_l0.copy_(unit.input.bias[order])
        theirs.weight_hh_l0.copy_(unit.recurrent.weight[order])
        theirs.bias_hh_l0.zero_()
    x = numbers(int(LENGTHS.sum()), 3, requires_grad=True)
    state, cell = (numbers(len(LENGTHS), 4, requires_grad=True) for _ in range(2))
    timeline = Timeline(LENGTHS)
    ours, cells = unit(x[timeline.order], state[timeline.rows], cell[timeline.rows], timeline)
    padded = pad_sequence(list(x.split(LENGTHS.tolist())))
    packed = pack_padded_sequence(padded, LENGTHS, enforce_sorted=False)
    states, (last_state, last_cell) = theirs(packed, (state[None], cell[None]))
    states = pad_packed_sequence(states)[0]
    wanted = torch.cat([states[:n, b] for b, n in enumerate(LENGTHS.tolist())])
    assert_close(ours[timeline.inverse], wanted, atol=1e-13, rtol=1e-13)
    assert_close(ours[timeline.last], last_state[0], atol=1e-13, rtol=1e-13)
    assert_close(cells[timeline.last], last_cell[0], atol=1e-13, rtol=1e-13)

    weight = numbers(*ours.shape)
    own = (ours * weight[timeline.order]).sum() + cells[timeline.last].square().sum()
    other = (wanted * weight).sum() + last_cell.square().sum()
    parts = (unit.input.weight, unit.input.bias, unit.recurrent.weight)
    got = torch.autograd.grad(own, (x, state, cell, *parts))
    their_parts = (theirs.weight_ih_l0, theirs.bias_ih_l0, theirs.weight_hh_l0)
    want = torch.autograd.grad(other, (x, state, cell, *their_parts))
    for a, b in zip(got[:3], want[:3], strict=True):
        assert_close(a, b, atol=1e-12, rtol=1e-12)
    for a, b in zip(got[3:], want[3:], strict=True):
        assert_close(a[order], b, atol=1e-12, rtol=1e-12)


def test_an_lstm_over_packed_sequences_is_its_steps_over_each():
    torch.manual_seed(0)
    unit, x = drawn(LSTM(3, 4)), numbers(int(LENGTHS.sum()), 3)
    state, cell = (numbers(len(LENGTHS), 4) for _ in range(2))
    timeline, wanted = Timeline(LENGTHS), []
    for n, sequence in enumerate(x.split(LENGTHS.tolist())):
        s, c = state[n : n + 1], cell[n : n + 1]
        for word in sequence:
            s, c = unit.step(word[None], s, c)
            wanted.append(torch.cat([s, c], 1))
    ours = torch.cat(unit(x[timeline.order], state[timeline.rows], cell[timeline.rows], timeline), 1)
    assert_close(ours[timeline.inverse], torch.cat(wanted), atol=1e-14, rtol=1e-14)


def test_derivatives_of_the_gru_scan():
    torch.manual_seed(0)
    unit, timeline = drawn(GRU(3, 4)), Timeline(LENGTHS)
    inputs = numbers(int(LENGTHS.sum()), 12, requires_grad=True), numbers(len(LENGTHS), 4, requires_grad=True)

    def scan(projected, state, gates, candidate):
        return torch.func.functional_call(
            unit, {"gates.weight": gates, "candidate.weight": candidate}, (projected, state)
        )

    unit.forward = lambda projected, state: unit.scan(projected, state, timeline)
    assert gradcheck(
        scan, (*inputs, unit.gates.weight.detach().requires_grad_(), unit.candidate.weight.detach().requires_grad_())
    )


def test_derivatives_of_the_lstm_scan():
    torch.manual_seed(0)
    unit, timeline = drawn(LSTM(3, 4)), Timeline(LENGTHS)
    inputs = [numbers(int(LENGTHS.sum()), 3), numbers(len(LENGTHS), 4), numbers(len(LENGTHS), 4)]

    def scan(x, state, cell, weight, recurrent):
        weights = {"input.weight": weight, "recurrent.weight": recurrent}
        return torch.func.functional_call(unit, weights, (x, state, cell, timeline))

    inputs += [unit.input.weight.detach(), unit.recurrent.weight.detach()]
    assert gradcheck(scan, [x.requires_grad_() for x in inputs])


def test_derivatives_of_rnnsearchs_decoder():
    torch.manual_seed(0)
    targets, sources = torch.tensor([4, 3, 3, 1]), torch.tensor([2, 4, 1, 3])  # rows are sorted by target length
    timeline, width, hidden = Timeline(targets), 3, 2
    is_token = torch.arange(4) < sources[:, None]
    shapes = {
        "words": (int(targets.sum()), 3 * width),
        "state": (4, width),
        "keys": (4, 4, hidden),
        "values": (4, 4, 5),
        "query": (hidden, width),
        "energy": (1, hidden),
        "context": (3 * width, 5),
        "gates": (2 * width, width),
        "candidate": (width, width),
    }
    inputs = [numbers(*shape, requires_grad=True) for shape in shapes.values()]

    def search(words, state, keys, values, *weights):
        return _Search.apply(words, state, keys, values, is_token, *weights, timeline)[:2]

    assert gradcheck(search, inputs)


def test_scans_compute_in_full_precision_whatever_autocast_says():
    torch.manual_seed(0)
    unit, x = GRU(3, 4), torch.randn(int(LENGTHS.sum()), 3)
    timeline = Timeline(LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        projected = unit.project(x)
        states = unit.scan(projected[timeline.order], torch.zeros(len(LENGTHS), 4, dtype=torch.bfloat16), timeline)
    assert projected.dtype is not states.dtype or projected.dtype is torch.float32
    assert states.dtype is torch.float32
    plain = unit.scan(projected.float()[timeline.order], torch.zeros(len(LENGTHS), 4), timeline)
    assert torch.equal(states, plain)


def test_full_precision_leaves_double_precision_alone():
    assert full_precision(lambda x: x, torch.zeros(1, dtype=torch.float64)).dtype is torch.float64

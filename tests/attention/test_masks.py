"""Masks beside the sentences which define them, and beside those of the Sparse Transformer's own code."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.attention.masks import (
    Mask,
    banded,
    blocked,
    causal,
    documents,
    fixed,
    padding,
    permuted,
    strided,
    summaries,
)

ORACLE = np.load(Path(__file__).parent.parent / "oracles" / "sparse_masks.npz")
OURS = {
    "all": lambda _: causal(),
    "local": banded,
    "local_blocksparse": banded,
    "strided": strided,
    "strided_blocksparse": strided,
}


def number(name: str, key: str) -> int:
    found = re.search(rf"_{name}(\d+)", key)
    return int(found[1]) if found else 1


def square(mask: Mask, n: int) -> list[list[bool]]:
    """Asked at one place after another."""
    zero = torch.tensor(0)
    return [[bool(mask.allows(zero, zero, torch.tensor(i), torch.tensor(j))) for j in range(n)] for i in range(n)]


@pytest.mark.parametrize("key", [key for key in ORACLE.files if not key.startswith("fixed")])
def test_masks_of_the_authors(key):
    theirs = torch.from_numpy(ORACLE[key]).bool()
    n = theirs.shape[-1]
    ours = OURS[key.split("/")[0]](number("l", key)).dense(1, 1, n, n)
    assert torch.equal(ours.view(n, n), theirs.view(-1, n, n)[0])


@pytest.mark.parametrize("key", [key for key in ORACLE.files if key.startswith("fixed")])
def test_fixed_masks_of_the_authors(key):
    theirs = torch.from_numpy(ORACLE[key]).bool()
    n, summary, subblocks = theirs.shape[-1], number("bs", key) * number("vertsize", key), number("verts", key)
    for head, mask in enumerate(theirs):  # their heads look at the subblocks in turn, from the end of a block
        ours = fixed(number("l", key), summary, head % subblocks).dense(1, 1, n, n)
        assert torch.equal(ours.view(n, n), mask)


def test_fixed_by_hand():
    # blocks of four, of whose earlier ones the last cell is seen
    wanted = ["x.......", "xx......", "xxx.....", "xxxx....", "...xx...", "...xxx..", "...xxxx.", "...xxxxx"]
    assert square(fixed(4, 1), 8) == [[cell == "x" for cell in row] for row in wanted]
    wanted = ["x.......", "xx......", "xxx.....", "xxxx....", ".x..x...", ".x..xx..", ".x..xxx.", ".x..xxxx"]
    assert square(fixed(4, 1, 2), 8) == [[cell == "x" for cell in row] for row in wanted]


def test_fixed_is_the_own_block_and_the_summaries():
    wanted = ["x.......", "xx......", "xxx.....", "xxxx....", "....x...", "....xx..", "....xxx.", "....xxxx"]
    assert square(blocked(4), 8) == [[cell == "x" for cell in row] for row in wanted]
    wanted = ["........", "........", "..x.....", "..xx....", "..xx....", "..xx....", "..xx..x.", "..xx..xx"]
    assert square(summaries(4, 2), 8) == [[cell == "x" for cell in row] for row in wanted]
    for subblock in (0, 1):
        both = square(blocked(4) | summaries(4, 2, subblock), 12)
        assert square(fixed(4, 2, subblock), 12) == both


def test_strided_and_banded_by_hand():
    wanted = ["x.....", ".x....", "..x...", "x..x..", ".x..x.", "..x..x"]
    assert square(strided(3), 6) == [[cell == "x" for cell in row] for row in wanted]
    wanted = ["x.....", "xx....", ".xx...", "..xx..", "...xx.", "....xx"]
    assert square(banded(2), 6) == [[cell == "x" for cell in row] for row in wanted]


def test_permuted_by_hand():
    order = torch.tensor([[2, 0, 1]])  # the second word comes first, the first word last
    assert square(permuted(order, sees_itself=True), 3) == [
        [True, True, True],
        [False, True, False],
        [False, True, True],
    ]
    assert square(permuted(order, sees_itself=False), 3) == [
        [False, True, True],
        [False, False, False],
        [False, True, False],
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=8))
def test_documents_see_their_partners_alone(lengths):
    queries, keys = (torch.tensor(side) for side in zip(*lengths, strict=True))
    of_query = [n for n, (count, _) in enumerate(lengths) for _ in range(count)]
    of_key = [n for n, (_, count) in enumerate(lengths) for _ in range(count)]
    dense = documents(queries, keys).dense(1, 1, len(of_query), len(of_key)).view(len(of_query), len(of_key))
    assert dense.tolist() == [[q == k for k in of_key] for q in of_query]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=20))
def test_blocks_hold_every_token_once_and_waste_little(lengths):
    queries, keys = (torch.tensor(side) for side in zip(*lengths, strict=True))
    blocks = documents(queries, keys).blocks
    assert sum(group.size for group in blocks.groups) == len(lengths)
    shapes = (
        [(group.size, group.queries) for group in blocks.groups],
        [(group.size, group.keys) for group in blocks.groups],
    )
    for side, own, shape in zip((blocks.queries, blocks.keys), (queries, keys), shapes, strict=True):
        rows = torch.arange(1, int(own.sum()) + 1.0, requires_grad=True)
        padded = side.pad(rows)
        assert [tuple(block.shape) for block in padded] == shape
        assert torch.equal(side.pack(padded), rows)
        flat = torch.cat([block.flatten() for block in padded])
        kept = torch.ones(len(flat), dtype=torch.bool)
        kept[side.empty] = False
        assert flat[kept].sort().values.tolist() == rows.tolist()
        (gradient,) = torch.autograd.grad(side.pack([block * 3 for block in padded]) @ rows.detach(), rows)
        assert torch.equal(gradient, 3 * rows)
        places = torch.zeros(len(flat), requires_grad=True)
        parts = places.split([size * longest for size, longest in shape])
        made = [part.unflatten(0, block) for part, block in zip(parts, shape, strict=True)]
        (gradient,) = torch.autograd.grad(side.pack(made).sum(), places)
        assert torch.equal(gradient, kept.float())
        # a sequence is a run of places inside its own group
        starts = own.cumsum(0) - own
        first = side.places[starts]
        for start, length, place in zip(starts.tolist(), own.tolist(), first.tolist(), strict=True):
            assert side.places[start : start + length].tolist() == list(range(place, place + length))
    needed = sum(q * k for q, k in lengths)
    held = sum(group.size * group.queries * group.keys for group in blocks.groups)
    assert held <= 1.3 * needed + 2000 * len(blocks.groups)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: banded(0), "width must be 1 or more, got 0"),
        (lambda: strided(-1), "stride must be 1 or more, got -1"),
        (lambda: fixed(4, 0), "summary must be 1 or more, got 0"),
        (lambda: fixed(4, 5), "a block of 4 cells has no subblock 0 of 5 cells to sum it up"),
        (lambda: summaries(4, 2, 2), "a block of 4 cells has no subblock 2 of 2 cells to sum it up"),
        (lambda: summaries(4, 2, -1), "a block of 4 cells has no subblock -1 of 2 cells"),
        (lambda: blocked(0), "stride must be 1 or more, got 0"),
    ],
)
def test_patterns_which_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_documents_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="queries hold 2 sequences, but keys hold 1"):
        documents(torch.tensor([1, 2]), torch.tensor([3]))


def test_masks_compose_as_sets():
    wide, thin = square(banded(4), 8), square(strided(2), 8)
    for ours, meant in (
        (banded(4) & strided(2), lambda a, b: a and b),
        (banded(4) | strided(2), lambda a, b: a or b),
        (~(banded(4) & strided(2)), lambda a, b: not (a and b)),
    ):
        assert square(ours, 8) == [
            [meant(*cell) for cell in zip(*rows, strict=True)] for rows in zip(wide, thin, strict=True)
        ]


def test_a_conjunction_knows_all_of_its_parts():
    first, second, third = causal(), strided(2), padding(torch.ones(1, 4, dtype=torch.bool))
    assert ((first & second) & third).parts == (first, second, third)
    assert (first & (second & third)).parts == (first, second, third)
    assert len((first | second).parts) == 1


@pytest.mark.parametrize(
    ("mask", "shape"),
    [
        (causal(), (3, 5)),
        (padding(torch.ones(4, 5, dtype=torch.bool)), (4, 1, 3, 5)),
        (Mask(lambda b, h, i, j: j <= i + h), (2, 3, 5)),
    ],
)
def test_a_dense_mask_costs_only_the_axes_on_which_it_depends(mask, shape):
    dense = mask.dense(4, 2, 3, 5)
    assert tuple(n for n in dense.shape if n > 1) == shape[-dense.ndim :] or dense.shape == shape
    assert dense.dtype is torch.bool


def test_a_dense_mask_is_made_anew_for_another_size():
    mask = causal()
    assert mask.dense(1, 1, 2, 2).tolist() == [[True, False], [True, True]]
    assert mask.dense(1, 1, 1, 3).tolist() == [[True, True, True]]
    assert mask.dense(1, 1, 2, 3).tolist() == [[True, True, False], [True, True, True]]

"""RNNsearch beside GroundHog, its authors' code: numbers which that code printed for the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.models.rnnsearch import RNNSearch, RNNSearchConfig
from regard.objectives.translation import Translation

ORACLE = Path(__file__).parent.parent / "oracles" / "groundhog_rnnsearch.npz"

# our parameter -> the variables of GroundHog which stand one under the other in it
NAMES = {
    "source.weight": ["W_0_enc_approx_embdr"],
    "source_bias": ["b_0_enc_approx_embdr"],
    "target.weight": ["W_0_dec_approx_embdr"],
    "target_bias": ["b_0_dec_approx_embdr"],
    "forwards.input.weight": ["W_0_enc_reset_embdr_0", "W_0_enc_update_embdr_0", "W_0_enc_input_embdr_0"],
    "forwards.bias": ["b_0_enc_input_embdr_0"],
    "forwards.gates.weight": ["R_enc_transition_0", "G_enc_transition_0"],
    "forwards.candidate.weight": ["W_enc_transition_0"],
    "backwards.input.weight": [f"W_0_back_enc_{gate}_embdr_0" for gate in ("reset", "update", "input")],
    "backwards.bias": ["b_0_back_enc_input_embdr_0"],
    "backwards.gates.weight": ["R_back_enc_transition_0", "G_back_enc_transition_0"],
    "backwards.candidate.weight": ["W_back_enc_transition_0"],
    "first.weight": ["W_0_dec_initializer_0"],
    "first.bias": ["b_0_dec_initializer_0"],
    "attention.query.weight": ["B_dec_transition_0"],
    "attention.key.weight": ["A_dec_transition_0"],
    "attention.energy.weight": ["D_dec_transition_0"],
    "decoder.input.weight": ["W_0_dec_reset_embdr_0", "W_0_dec_update_embdr_0", "W_0_dec_input_embdr_0"],
    "decoder.bias": ["b_0_dec_input_embdr_0"],
    "decoder.gates.weight": ["R_dec_transition_0", "G_dec_transition_0"],
    "decoder.candidate.weight": ["W_dec_transition_0"],
    "context.weight": ["W_0_dec_dec_reseter_0", "W_0_dec_dec_updater_0", "W_0_dec_dec_inputter_0"],
    "read_state.weight": ["W_0_dec_hid_readout_0"],
    "read_state.bias": ["b_0_dec_hid_readout_0"],
    "read_word.weight": ["W_0_dec_prev_readout_0"],
    "read_context.weight": ["W_0_dec_repr_readout"],
    "deep.weight": ["W1_dec_deep_softmax"],
    "output.weight": ["W2_dec_deep_softmax"],
    "output.bias": ["b_dec_deep_softmax"],
}
EMBEDDINGS = {"source.weight", "target.weight"}


@pytest.fixture(scope="module")
def oracle():
    return np.load(ORACLE)


def stacked(oracle, prefix: str, name: str) -> torch.Tensor:
    parts = [torch.from_numpy(oracle[f"{prefix}/{variable}"]) for variable in NAMES[name]]
    return torch.cat([part if name in EMBEDDINGS else part.T for part in parts]) if parts[0].ndim > 1 else parts[0]


@pytest.fixture(scope="module")
def model(oracle):
    config = RNNSearchConfig(source_vocabulary=15, target_vocabulary=15, embedding=6, width=12, alignment=12, maxout=6)
    model = RNNSearch(config)
    model.load_state_dict({name: stacked(oracle, "w", name) for name in NAMES})
    return model


@pytest.fixture(scope="module")
def batch(oracle):
    sides = []
    for side in "xy":
        tokens, is_token = (torch.from_numpy(oracle[f"in/{name}"]).T for name in (side, f"{side}_mask"))
        sides.append(Packed.from_padded(tokens, is_token.bool()))
    return tuple(sides)


def test_every_variable_of_the_authors_has_its_place(oracle):
    used = {variable for variables in NAMES.values() for variable in variables}
    assert used == {key[2:] for key in oracle.files if key.startswith("w/")}


def test_word_probabilities(oracle, model, batch):
    scores = model(*batch).log_softmax(-1).exp()
    ours = scores.gather(1, batch[1].tokens[:, None])[:, 0]
    theirs = torch.from_numpy(oracle["out/word_probs"]).T[torch.from_numpy(oracle["in/y_mask"]).T.bool()]
    assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_alignments(oracle, model, batch):
    with recording(model) as maps:
        model(*batch)
    ours = maps["attention"][0, 0]
    theirs = torch.from_numpy(oracle["out/alignment"])  # [T, S, B]
    source, target = batch
    for n in range(len(source)):
        t, s = int(target.starts[n]), int(source.starts[n])
        T, S = int(target.lengths[n]), int(source.lengths[n])
        assert_close(ours[t : t + T, s : s + S], theirs[:T, :S, n], atol=1e-6, rtol=1e-5)


def test_cost_and_gradients(oracle, model, batch):
    model.zero_grad()
    loss = Translation(model)(*batch)
    assert_close(loss.total.detach(), torch.tensor(oracle["out/cost"]), atol=0, rtol=1e-6)
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert_close(
            parameter.grad,
            stacked(oracle, "out/grad_cost", name),
            atol=1e-5,
            rtol=1e-5,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def test_decoding_step_by_step(oracle, model):
    state = model.start(Packed.of([oracle["in/step_source"].tolist()]))
    assert_close(state.own[0][0], torch.from_numpy(oracle["out/step/init"]), atol=1e-6, rtol=1e-5)
    token = None
    for k, word in enumerate(oracle["in/step_target"]):
        scores, state = model.step(token, state)
        assert_close(scores.softmax(-1), torch.from_numpy(oracle[f"out/step/probs_{k}"]), atol=1e-6, rtol=1e-5)
        token = torch.tensor([int(word)])

"""Configurations which make no model, of every kind."""

import dataclasses

import pytest

from regard.models import MODELS
from regard.storage.configuration import configured

MAY_BE_0 = {(kind, "memory") for kind in ("transformer-xl", "xlnet")}
MAY_BE_0 |= {("sparse-transformer", field) for field in ("hidden", "key_width")}
ANY = {"clamp"}  # 0 or less does not clamp
FIELDS = [
    (name, field.name, field.type)
    for name, entry in MODELS.items()
    for field in dataclasses.fields(entry.config)
    if field.type in (int, float, "int", "float")
]


@pytest.mark.parametrize(("name", "field", "kind"), FIELDS)
def test_numbers_which_make_no_model_are_refused_by_their_names(name, field, kind):
    config = MODELS[name].sizes["tiny"]
    if kind in (float, "float"):
        wrong, rule = [-0.1, 1.0, float("nan")], r"must lie in \[0, 1\)"
    else:
        wrong, rule = ([] if field in ANY else [-1] if (name, field) in MAY_BE_0 else [0, -1]), "must be . or more"
    for value in wrong:
        with pytest.raises(ValueError, match=f"{field} {rule}, got {value}"):
            dataclasses.replace(config, **{field: value})
        with pytest.raises(ValueError, match=f"a.toml: model: {field} {rule}, got {value}"):
            configured(type(config), {**dataclasses.asdict(config), field: value}, "a.toml: model")


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if hasattr(entry.sizes["tiny"], "heads")])
def test_heads_which_do_not_share_out_the_width_are_refused(name):
    with pytest.raises(ValueError, match=r"width must be a multiple of heads, got width=\d+ and heads=3"):
        dataclasses.replace(MODELS[name].sizes["tiny"], heads=3)

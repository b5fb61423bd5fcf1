"""What every test may ask for."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)  # a machine which is busy is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def data():
    """The folder of real data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}; set REGARD_DATA to the folder which holds them")
    return DATA


def pytest_collection_modifyitems(items):
    """Skip checks whose device is not here."""
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))

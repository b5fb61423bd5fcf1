"""TensorFlows for the tests of the course's exercises."""

import pytest
from tensorflows import Missing, TensorFlow, interpreter


@pytest.fixture(scope="session", params=["2", "1.15"], ids=["tensorflow2", "tensorflow1.15"])
def tensorflow(request, tmp_path_factory):
    """One which runs code; skipped with the reason where there is none of this version."""
    try:
        python = interpreter(request.param)
    except Missing as missing:
        pytest.skip(str(missing))
    with TensorFlow(python, tmp_path_factory.mktemp("tensorflow")) as running:
        yield running

"""What several tests of fine-tuning learn from."""

import pytest
from small_encoders import write_reviews

from regard.data.table import Table


@pytest.fixture
def table(tmp_path):
    return Table(str(write_reviews(tmp_path / "train.csv", 120)))

"""What tests of data may ask for."""

import pytest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into an empty current folder, and give its name."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write

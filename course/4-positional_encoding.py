#!/usr/bin/env python3
"""Positions as sines and cosines (Vaswani et al. 2017, section 3.5)."""

import numpy as np


def positional_encoding(max_seq_len, dm):
    """Encode the positions of a sequence.

    Column 2i is sin(position / 10000^(2i/dm)), column 2i + 1 its cosine.

    Args:
        max_seq_len: how many positions.
        dm: width of the model.

    Returns:
        An array (max_seq_len, dm).
    """
    positions = np.arange(max_seq_len)[:, np.newaxis]
    pairs = np.arange(dm) // 2  # i
    encoding = positions / 10000 ** (2 * pairs / dm)
    encoding[:, 0::2] = np.sin(encoding[:, 0::2])
    encoding[:, 1::2] = np.cos(encoding[:, 1::2])
    return encoding

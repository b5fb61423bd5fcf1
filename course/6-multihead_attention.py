#!/usr/bin/env python3
"""Multi-head attention (Vaswani et al. 2017, section 3.2.2)."""

import tensorflow as tf

sdp_attention = __import__("5-sdp_attention").sdp_attention


class MultiHeadAttention(tf.keras.layers.Layer):
    """Several attentions side by side, each in a projection of its own.

    Attributes:
        h: how many heads.
        dm: width of the model.
        depth: width of a head, dm / h.
        Wq, Wk, Wv: projections of queries, keys and values, all heads
            side by side.
        linear: the projection of the heads' outputs.
    """

    def __init__(self, dm, h):
        """Make the layers.

        Args:
            dm: width of the model, a multiple of h.
            h: how many heads.
        """
        super().__init__()
        self.h = h
        self.dm = dm
        self.depth = dm // h
        self.Wq = tf.keras.layers.Dense(dm)
        self.Wk = tf.keras.layers.Dense(dm)
        self.Wv = tf.keras.layers.Dense(dm)
        self.linear = tf.keras.layers.Dense(dm)

    def split(self, x):
        """Cut x (..., len, dm) into its heads (..., h, len, depth)."""
        return tf.stack(tf.split(x, self.h, axis=-1), axis=-3)

    def call(self, Q, K, V, mask):
        """Attend with each head, and join what they find.

        Args:
            Q: what queries are made of, (..., len_q, dm).
            K: what keys are made of, (..., len_v, dm).
            V: what values are made of, (..., len_v, dm).
            mask: 1 where a query may not look, of any shape which
                broadcasts to (..., h, len_q, len_v), or None.

        Returns:
            output: (..., len_q, dm).
            weights: (..., h, len_q, len_v).
        """
        heads, weights = sdp_attention(
            self.split(self.Wq(Q)),
            self.split(self.Wk(K)),
            self.split(self.Wv(V)),
            mask,
        )
        joined = tf.concat(tf.unstack(heads, axis=-3), axis=-1)
        return self.linear(joined), weights

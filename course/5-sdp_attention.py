#!/usr/bin/env python3
"""Scaled dot-product attention (Vaswani et al. 2017, equation 1)."""

import tensorflow as tf


def sdp_attention(Q, K, V, mask=None):
    """Compute softmax(Q K' / sqrt(dk)) V.

    Args:
        Q: queries, (..., len_q, dk).
        K: keys, (..., len_v, dk).
        V: values, (..., len_v, dv).
        mask: 1 where a query may not look, of any shape which
            broadcasts to (..., len_q, len_v).

    Returns:
        output: (..., len_q, dv).
        weights: (..., len_q, len_v).
    """
    scores = tf.matmul(Q, K, transpose_b=True)
    scores /= tf.sqrt(tf.cast(tf.shape(K)[-1], scores.dtype))
    if mask is not None:
        scores += tf.cast(mask, scores.dtype) * -1e9
    weights = tf.nn.softmax(scores, axis=-1)
    return tf.matmul(weights, V), weights

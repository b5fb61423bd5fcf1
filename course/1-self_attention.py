#!/usr/bin/env python3
"""Additive attention (Bahdanau et al. 2015, appendix A.1.2)."""

import tensorflow as tf


class SelfAttention(tf.keras.layers.Layer):
    """A small network which scores every word of the source.

    The course calls it self-attention; it is the attention of a decoder
    to its source. The letters are the paper's.

    Attributes:
        W: is applied to the state of the decoder.
        U: is applied to the states of the encoder.
        V: makes one score of their sum.
    """

    def __init__(self, units):
        """Make the layers.

        Args:
            units: width of the network's hidden layer.
        """
        super().__init__()
        self.W = tf.keras.layers.Dense(units)
        self.U = tf.keras.layers.Dense(units)
        self.V = tf.keras.layers.Dense(1)

    def call(self, s_prev, hidden_states):
        """Look for what matters to the next word.

        Args:
            s_prev: the decoder's last state, (batch, units).
            hidden_states: the encoder's states, (batch, len, units).

        Returns:
            context: their weighted sum, (batch, units).
            weights: what each counts in it, (batch, len, 1).
        """
        asked = self.W(tf.expand_dims(s_prev, 1))
        scores = self.V(tf.nn.tanh(asked + self.U(hidden_states)))
        weights = tf.nn.softmax(scores, axis=1)
        context = tf.reduce_sum(weights * hidden_states, axis=1)
        return context, weights

#!/usr/bin/env python3
"""The encoder of a translator with recurrent units (Cho et al. 2014)."""

import tensorflow as tf


class RNNEncoder(tf.keras.layers.Layer):
    """Reads a sentence word by word with a gated recurrent unit.

    Attributes:
        batch: sentences in a batch.
        units: width of the unit's state.
        embedding: a vector for each word of the vocabulary.
        gru: the unit, which gives every state and the last one.
    """

    def __init__(self, vocab, embedding, units, batch):
        """Make the layers.

        Args:
            vocab: words in the vocabulary.
            embedding: width of a word's vector.
            units: width of the unit's state.
            batch: sentences in a batch.
        """
        super().__init__()
        self.batch = batch
        self.units = units
        self.embedding = tf.keras.layers.Embedding(vocab, embedding)
        # the unit as its paper has it: sigmoid gates, and a reset gate
        # before the product; TensorFlow's defaults changed with version 2
        self.gru = tf.keras.layers.GRU(
            units,
            recurrent_activation="sigmoid",
            reset_after=False,
            recurrent_initializer="glorot_uniform",
            return_sequences=True,
            return_state=True,
        )

    def initialize_hidden_state(self):
        """Give the state before the first word: zeros (batch, units)."""
        return tf.zeros((self.batch, self.units))

    def call(self, x, initial):
        """Read sentences.

        Args:
            x: words as numbers, (batch, len).
            initial: the state before the first word, (batch, units).

        Returns:
            outputs: the state after each word, (batch, len, units).
            hidden: the state after the last word, (batch, units).
        """
        outputs, hidden = self.gru(self.embedding(x), initial_state=initial)
        return outputs, hidden

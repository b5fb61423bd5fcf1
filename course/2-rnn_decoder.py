#!/usr/bin/env python3
"""The decoder of a translator with attention (Bahdanau et al. 2015)."""

import tensorflow as tf

SelfAttention = __import__("1-self_attention").SelfAttention


class RNNDecoder(tf.keras.layers.Layer):
    """Writes a sentence word by word, looking at the source each time.

    Attributes:
        embedding: a vector for each word of the vocabulary.
        attention: finds what of the source matters to the next word.
        gru: the recurrent unit.
        F: makes scores of words of the unit's state.
    """

    def __init__(self, vocab, embedding, units, batch):
        """Make the layers.

        Args:
            vocab: words in the vocabulary.
            embedding: width of a word's vector.
            units: width of the unit's state.
            batch: sentences in a batch; nothing here depends on it.
        """
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(vocab, embedding)
        # made once, here, so that it is trained with the rest
        self.attention = SelfAttention(units)
        # the unit of the encoder, see there
        self.gru = tf.keras.layers.GRU(
            units,
            recurrent_activation="sigmoid",
            reset_after=False,
            recurrent_initializer="glorot_uniform",
            return_sequences=True,
            return_state=True,
        )
        self.F = tf.keras.layers.Dense(vocab)

    def call(self, x, s_prev, hidden_states):
        """Take one step.

        Args:
            x: the last word as a number, (batch, 1).
            s_prev: the state before it, (batch, units).
            hidden_states: the encoder's states, (batch, len, units).

        Returns:
            y: a score for each word to be the next, (batch, vocab).
            s: the state after the step, (batch, units).
        """
        context, _ = self.attention(s_prev, hidden_states)
        x = tf.concat([tf.expand_dims(context, 1), self.embedding(x)], -1)
        outputs, s = self.gru(x, initial_state=s_prev)
        return self.F(tf.squeeze(outputs, 1)), s

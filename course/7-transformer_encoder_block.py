#!/usr/bin/env python3
"""A layer of the Transformer's encoder (Vaswani et al. 2017, 3.1)."""

import tensorflow as tf

MultiHeadAttention = __import__("6-multihead_attention").MultiHeadAttention


class EncoderBlock(tf.keras.layers.Layer):
    """Self-attention, then a feed-forward network at each position.

    Around each of them: layernorm(x + dropout(sublayer(x))).

    Attributes:
        mha: the attention.
        dense_hidden: the network's hidden layer.
        dense_output: the network's output.
        layernorm1, layernorm2: the norms.
        dropout1, dropout2: the dropouts.
    """

    def __init__(self, dm, h, hidden, drop_rate=0.1):
        """Make the layers.

        Args:
            dm: width of the model.
            h: heads of the attention.
            hidden: width of the network's hidden layer.
            drop_rate: share of values which are dropped in training.
        """
        super().__init__()
        self.mha = MultiHeadAttention(dm, h)
        self.dense_hidden = tf.keras.layers.Dense(hidden, activation="relu")
        self.dense_output = tf.keras.layers.Dense(dm)
        self.layernorm1 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = tf.keras.layers.Dropout(drop_rate)
        self.dropout2 = tf.keras.layers.Dropout(drop_rate)

    def __call__(self, x, training, mask=None):
        """Call the layer; Keras 3 takes only tensors without a name."""
        return super().__call__(x, training=training, mask=mask)

    def compute_mask(self, inputs, mask=None):
        """Give no mask of Keras's own kind to the layers which follow."""
        return None

    def call(self, x, training, mask=None):
        """Apply the layer.

        Args:
            x: (batch, len, dm).
            training: whether values are dropped.
            mask: 1 where a position may not look, of any shape which
                broadcasts to (batch, h, len, len).

        Returns:
            A tensor (batch, len, dm).
        """
        attended, _ = self.mha(x, x, x, mask)
        attended = self.dropout1(attended, training=training)
        x = self.layernorm1(x + attended)
        output = self.dense_output(self.dense_hidden(x))
        output = self.dropout2(output, training=training)
        return self.layernorm2(x + output)

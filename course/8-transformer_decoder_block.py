#!/usr/bin/env python3
"""A layer of the Transformer's decoder (Vaswani et al. 2017, 3.1)."""

import tensorflow as tf

MultiHeadAttention = __import__("6-multihead_attention").MultiHeadAttention


class DecoderBlock(tf.keras.layers.Layer):
    """Self-attention, attention to the source, a feed-forward network.

    Around each of them: layernorm(x + dropout(sublayer(x))).

    Attributes:
        mha1: the attention to the target itself.
        mha2: the attention to the encoder's output.
        dense_hidden: the network's hidden layer.
        dense_output: the network's output.
        layernorm1, layernorm2, layernorm3: the norms.
        dropout1, dropout2, dropout3: the dropouts.
    """

    def __init__(self, dm, h, hidden, drop_rate=0.1):
        """Make the layers.

        Args:
            dm: width of the model.
            h: heads of each attention.
            hidden: width of the network's hidden layer.
            drop_rate: share of values which are dropped in training.
        """
        super().__init__()
        self.mha1 = MultiHeadAttention(dm, h)
        self.mha2 = MultiHeadAttention(dm, h)
        self.dense_hidden = tf.keras.layers.Dense(hidden, activation="relu")
        self.dense_output = tf.keras.layers.Dense(dm)
        self.layernorm1 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.layernorm3 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = tf.keras.layers.Dropout(drop_rate)
        self.dropout2 = tf.keras.layers.Dropout(drop_rate)
        self.dropout3 = tf.keras.layers.Dropout(drop_rate)

    def __call__(
        self, x, encoder_output, training, look_ahead_mask, padding_mask
    ):
        """Call the layer; Keras 3 takes only tensors without a name."""
        return super().__call__(
            x,
            encoder_output,
            training=training,
            look_ahead_mask=look_ahead_mask,
            padding_mask=padding_mask,
        )

    def call(self, x, encoder_output, training, look_ahead_mask, padding_mask):
        """Apply the layer.

        Args:
            x: (batch, target_len, dm).
            encoder_output: (batch, input_len, dm).
            training: whether values are dropped.
            look_ahead_mask: 1 where a position may not look in the
                target, of any shape which broadcasts to
                (batch, h, target_len, target_len), or None.
            padding_mask: 1 where it may not look in the source, of any
                shape which broadcasts to
                (batch, h, target_len, input_len), or None.

        Returns:
            A tensor (batch, target_len, dm).
        """
        attended, _ = self.mha1(x, x, x, look_ahead_mask)
        attended = self.dropout1(attended, training=training)
        x = self.layernorm1(x + attended)
        attended, _ = self.mha2(
            x, encoder_output, encoder_output, padding_mask
        )
        attended = self.dropout2(attended, training=training)
        x = self.layernorm2(x + attended)
        output = self.dense_output(self.dense_hidden(x))
        output = self.dropout3(output, training=training)
        return self.layernorm3(x + output)

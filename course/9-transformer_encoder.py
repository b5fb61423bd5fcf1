#!/usr/bin/env python3
"""The Transformer's encoder (Vaswani et al. 2017, figure 1, left)."""

import tensorflow as tf

positional_encoding = __import__("4-positional_encoding").positional_encoding
EncoderBlock = __import__("7-transformer_encoder_block").EncoderBlock


class Encoder(tf.keras.layers.Layer):
    """Words with their positions, through N layers.

    Attributes:
        N: how many layers.
        dm: width of the model.
        embedding: a vector for each word of the vocabulary.
        positional_encoding: an array (max_seq_len, dm).
        blocks: the layers.
        dropout: the dropout after the positions are added.
    """

    def __init__(
        self, N, dm, h, hidden, input_vocab, max_seq_len, drop_rate=0.1
    ):
        """Make the layers.

        Args:
            N: how many layers.
            dm: width of the model.
            h: heads of each attention.
            hidden: width of the feed-forward networks' hidden layers.
            input_vocab: words in the vocabulary.
            max_seq_len: words in the longest sentence.
            drop_rate: share of values which are dropped in training.
        """
        super().__init__()
        self.N = N
        self.dm = dm
        self.embedding = tf.keras.layers.Embedding(input_vocab, dm)
        self.positional_encoding = positional_encoding(max_seq_len, dm)
        self.blocks = [
            EncoderBlock(dm, h, hidden, drop_rate) for _ in range(N)
        ]
        self.dropout = tf.keras.layers.Dropout(drop_rate)

    def __call__(self, x, training, mask):
        """Call the layer; Keras 3 takes only tensors without a name."""
        return super().__call__(x, training=training, mask=mask)

    def compute_mask(self, inputs, mask=None):
        """Give no mask of Keras's own kind to the layers which follow."""
        return None

    def call(self, x, training, mask):
        """Read sentences.

        Args:
            x: words as numbers, (batch, len).
            training: whether values are dropped.
            mask: 1 where a position may not look, of any shape which
                broadcasts to (batch, h, len, len), or None.

        Returns:
            A tensor (batch, len, dm).
        """
        length = tf.shape(x)[1]
        words = self.embedding(x)
        words *= tf.sqrt(tf.cast(self.dm, words.dtype))
        places = tf.cast(self.positional_encoding, words.dtype)
        output = words + places[:length]
        output = self.dropout(output, training=training)
        for block in self.blocks:
            output = block(output, training, mask)
        return output

#!/usr/bin/env python3
"""The Transformer's decoder (Vaswani et al. 2017, figure 1, right)."""

import tensorflow as tf

positional_encoding = __import__("4-positional_encoding").positional_encoding
DecoderBlock = __import__("8-transformer_decoder_block").DecoderBlock


class Decoder(tf.keras.layers.Layer):
    """Words with their positions, through N layers which see the source.

    Attributes:
        N: how many layers.
        dm: width of the model.
        embedding: a vector for each word of the vocabulary.
        positional_encoding: an array (max_seq_len, dm).
        blocks: the layers.
        dropout: the dropout after the positions are added.
    """

    def __init__(
        self, N, dm, h, hidden, target_vocab, max_seq_len, drop_rate=0.1
    ):
        """Make the layers.

        Args:
            N: how many layers.
            dm: width of the model.
            h: heads of each attention.
            hidden: width of the feed-forward networks' hidden layers.
            target_vocab: words in the vocabulary.
            max_seq_len: words in the longest sentence.
            drop_rate: share of values which are dropped in training.
        """
        super().__init__()
        self.N = N
        self.dm = dm
        self.embedding = tf.keras.layers.Embedding(target_vocab, dm)
        self.positional_encoding = positional_encoding(max_seq_len, dm)
        self.blocks = [
            DecoderBlock(dm, h, hidden, drop_rate) for _ in range(N)
        ]
        self.dropout = tf.keras.layers.Dropout(drop_rate)

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
        """Read the words which are there, each with those before it.

        Args:
            x: words as numbers, (batch, target_len).
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
        length = tf.shape(x)[1]
        words = self.embedding(x)
        words *= tf.sqrt(tf.cast(self.dm, words.dtype))
        places = tf.cast(self.positional_encoding, words.dtype)
        output = words + places[:length]
        output = self.dropout(output, training=training)
        for block in self.blocks:
            output = block(
                output, encoder_output, training, look_ahead_mask, padding_mask
            )
        return output

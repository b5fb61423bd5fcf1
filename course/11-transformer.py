#!/usr/bin/env python3
"""The Transformer (Vaswani et al. 2017, figure 1)."""

import tensorflow as tf

Encoder = __import__("9-transformer_encoder").Encoder
Decoder = __import__("10-transformer_decoder").Decoder


class Transformer(tf.keras.Model):
    """An encoder, a decoder, and a layer which scores words.

    Attributes:
        encoder: reads the source.
        decoder: reads the target so far, and looks at the source.
        linear: makes scores of words of what the decoder gives.
    """

    def __init__(
        self,
        N,
        dm,
        h,
        hidden,
        input_vocab,
        target_vocab,
        max_seq_input,
        max_seq_target,
        drop_rate=0.1,
    ):
        """Make the layers.

        Args:
            N: layers of the encoder, and of the decoder.
            dm: width of the model.
            h: heads of each attention.
            hidden: width of the feed-forward networks' hidden layers.
            input_vocab: words in the vocabulary of the source.
            target_vocab: words in the vocabulary of the target.
            max_seq_input: words in the longest source sentence.
            max_seq_target: words in the longest target sentence.
            drop_rate: share of values which are dropped in training.
        """
        super().__init__()
        self.encoder = Encoder(
            N, dm, h, hidden, input_vocab, max_seq_input, drop_rate
        )
        self.decoder = Decoder(
            N, dm, h, hidden, target_vocab, max_seq_target, drop_rate
        )
        self.linear = tf.keras.layers.Dense(target_vocab)

    def __call__(
        self,
        inputs,
        target,
        training,
        encoder_mask,
        look_ahead_mask,
        decoder_mask,
    ):
        """Call the model; Keras 3 takes only tensors without a name."""
        return super().__call__(
            inputs,
            target,
            training=training,
            encoder_mask=encoder_mask,
            look_ahead_mask=look_ahead_mask,
            decoder_mask=decoder_mask,
        )

    def call(
        self,
        inputs,
        target,
        training,
        encoder_mask,
        look_ahead_mask,
        decoder_mask,
    ):
        """Score every word of the vocabulary at each place of the target.

        Args:
            inputs: source words as numbers, (batch, input_len).
            target: target words as numbers, (batch, target_len).
            training: whether values are dropped.
            encoder_mask: 1 where the encoder may not look.
            look_ahead_mask: 1 where the decoder may not look in the
                target.
            decoder_mask: 1 where the decoder may not look in the source.
                Each mask may be None.

        Returns:
            Scores of the word after each place, which are no
            probabilities yet: (batch, target_len, target_vocab).
        """
        read = self.encoder(inputs, training, encoder_mask)
        written = self.decoder(
            target, read, training, look_ahead_mask, decoder_mask
        )
        return self.linear(written)

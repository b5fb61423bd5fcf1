"""One file a paper, and the one registry: a plain dict."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from regard.models.albert import ALBERT, ALBERT_SIZES, ALBERTConfig
from regard.models.bert import BERT, BERT_SIZES, BERTConfig
from regard.models.encoder_decoder import (
    ENCODER_DECODER_SIZES,
    EncoderDecoder,
    EncoderDecoderConfig,
    PrintedEncoderDecoder,
)
from regard.models.gpt import GPT, GPT_SIZES, GPTConfig, GPTEncoder
from regard.models.gpt2 import GPT2, GPT2_SIZES, GPT2Config, GPT2Encoder
from regard.models.gpt3 import GPT3, GPT3_SIZES, GPT3Config
from regard.models.gpt_neo import GPT_NEO_SIZES, GPTNeo, GPTNeoConfig
from regard.models.rnnsearch import RNNSEARCH_SIZES, RNNSearch, RNNSearchConfig
from regard.models.seq2seq import SEQ2SEQ_SIZES, Seq2Seq, Seq2SeqConfig
from regard.models.sparse_transformer import (
    SPARSE_TRANSFORMER_SIZES,
    SparseTransformer,
    SparseTransformerConfig,
)
from regard.models.transformer import TRANSFORMER_SIZES, PreNormTransformer, Transformer, TransformerConfig
from regard.models.transformer_xl import TRANSFORMER_XL_SIZES, TransformerXL, TransformerXLConfig
from regard.models.xlnet import XLNET_SIZES, XLNet, XLNetConfig
from regard.storage.names import did_you_mean


@dataclass(frozen=True)
class Entry:
    """A model of the library: its class, its configuration, the named sizes of it, and what it is trained on."""

    model: Any
    config: Any
    sizes: dict[str, Any]
    reads: str = "pairs"  # of source and target; or "text"; or "inputs", which are framed by special tokens
    tuned: str = ""  # the entry of the encoder as which a language model is tuned by labels, where there is one


MODELS: dict[str, Entry] = {
    "seq2seq": Entry(Seq2Seq, Seq2SeqConfig, SEQ2SEQ_SIZES),
    "encoder-decoder": Entry(EncoderDecoder, EncoderDecoderConfig, ENCODER_DECODER_SIZES),
    "encoder-decoder-printed": Entry(PrintedEncoderDecoder, EncoderDecoderConfig, ENCODER_DECODER_SIZES),
    "rnnsearch": Entry(RNNSearch, RNNSearchConfig, RNNSEARCH_SIZES),
    "transformer": Entry(Transformer, TransformerConfig, TRANSFORMER_SIZES),
    "transformer-prenorm": Entry(PreNormTransformer, TransformerConfig, TRANSFORMER_SIZES),
    "bert": Entry(BERT, BERTConfig, BERT_SIZES, "inputs"),
    "albert": Entry(ALBERT, ALBERTConfig, ALBERT_SIZES, "inputs"),
    "xlnet": Entry(XLNet, XLNetConfig, XLNET_SIZES, "inputs"),
    "gpt": Entry(GPT, GPTConfig, GPT_SIZES, "text", tuned="gpt-encoder"),
    "gpt-encoder": Entry(GPTEncoder, GPTConfig, GPT_SIZES, "inputs"),
    "gpt2": Entry(GPT2, GPT2Config, GPT2_SIZES, "text", tuned="gpt2-encoder"),
    "gpt2-encoder": Entry(GPT2Encoder, GPT2Config, GPT2_SIZES, "inputs"),
    "gpt3": Entry(GPT3, GPT3Config, GPT3_SIZES, "text"),
    "gpt-neo": Entry(GPTNeo, GPTNeoConfig, GPT_NEO_SIZES, "text"),
    "sparse-transformer": Entry(SparseTransformer, SparseTransformerConfig, SPARSE_TRANSFORMER_SIZES, "text"),
    "transformer-xl": Entry(TransformerXL, TransformerXLConfig, TRANSFORMER_XL_SIZES, "text"),
}


def entry_of(name: str) -> Entry:
    """The registry's entry of this name.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name]


def name_of(model: nn.Module) -> str:
    """The registry's name of a model."""
    for name, entry in MODELS.items():
        if type(model) is entry.model:
            return name
    raise ValueError(f"{type(model).__name__} is not a model of the library")


__all__ = ["MODELS", "Entry", "entry_of", "name_of"]

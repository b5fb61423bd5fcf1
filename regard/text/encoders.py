"""What the tokenizers of encoders share: BERT's, ALBERT's and XLNet's special tokens, cleaning and framing of text.

All that is here goes into the `tokenizer.json`, so that Transformers frames texts alike (`regard.text.framing`).
"""

import json
import re
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors

BERT = {"pad": "[PAD]", "unknown": "[UNK]", "summary": "[CLS]", "separator": "[SEP]", "mask": "[MASK]"}
ALBERT = {"pad": "<pad>", "unknown": "<unk>", "summary": "[CLS]", "separator": "[SEP]", "mask": "[MASK]"}
XLNET = {"pad": "<pad>", "unknown": "<unk>", "summary": "<cls>", "separator": "<sep>", "mask": "<mask>"}
GPT = {"start": "_start_", "separator": "_delimiter_", "summary": "_classify_"}  # added for tasks, by its code's names
NAMES = {"bert": BERT, "albert": ALBERT, "xlnet": XLNET}
SPACE = "▁"  # stands for the space before a piece, as in SentencePiece
PARAGRAPH = "<eop>"  # XLNet's end of a paragraph
CONTINUES = "##"  # stands before a piece of BERT's which goes on with a word

TOKENIZER_CONFIG = "tokenizer_config.json"  # what Transformers is told of a tokenizer


def bert_cleaning(
    lowercase: bool, strips_accents: bool | None = None, spaces_chinese: bool = True
) -> normalizers.Normalizer:
    """BERT's: no control characters, Chinese characters as words of their own; accents go where capitals do."""
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=spaces_chinese,
        strip_accents=lowercase if strips_accents is None else strips_accents,
        lowercase=lowercase,
    )


def piece_cleaning(lowercase: bool, keeps_accents: bool, *rules: normalizers.Normalizer) -> normalizers.Normalizer:
    """ALBERT's and XLNet's: quotes of one kind, no accents, and then the rules of SentencePiece.

    As in Transformers, all combining marks go; the authors' codes keep those of combining class 0, which no letter of
    Latin, Greek or Cyrillic has.
    """
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not keeps_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence([*steps, *rules])


def cut_into_words(tokenizer: tokenizers.Tokenizer) -> None:
    """Let BERT's pieces stay within words, each of which goes on in pieces with a mark."""
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(CONTINUES)


def cut_at_spaces(tokenizer: tokenizers.Tokenizer, cut: pre_tokenizers.PreTokenizer) -> None:
    """Let pieces stay between spaces, each of which belongs to the piece after it, and where `cut` lets them."""
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*words, cut])
    tokenizer.decoder = decoders.Metaspace(SPACE, prepend_scheme="always")


def apart(names: list[str]) -> pre_tokenizers.PreTokenizer:
    """A cut within each of these names, so that none of them is a piece where it stands in a text."""
    first = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names)
    return pre_tokenizers.Split(Regex(first), "merged_with_previous")


def frame(tokenizer: tokenizers.Tokenizer, names: dict[str, str]) -> None:
    """Give a tokenizer the special tokens of an encoder, and let the library put them around texts."""
    tokenizer.add_special_tokens(list(names.values()))
    frame_with(tokenizer, names["summary"], names["separator"], is_last=names is XLNET)


def frame_with(tokenizer: tokenizers.Tokenizer, summary: str, separator: str, *, is_last: bool) -> None:
    """Let the library put these around texts: `[CLS] A [SEP] B [SEP]`, or `A <sep> B <sep> <cls>` where it is last."""
    if is_last:
        single, pair = f"$A:0 {separator}:0 {summary}:2", f"$A:0 {separator}:0 $B:1 {separator}:1 {summary}:2"
    else:
        single, pair = f"{summary}:0 $A:0 {separator}:0", f"{summary}:0 $A:0 {separator}:0 $B:1 {separator}:1"
    _put_around(tokenizer, single, pair, [summary, separator])


def frame_for_tasks(tokenizer: tokenizers.Tokenizer) -> None:
    """Give a language model's tokenizer the special tokens of GPT's tasks: `_start_ A _delimiter_ B _classify_`."""
    start, delimiter, extract = GPT.values()
    tokenizer.add_special_tokens([start, delimiter, extract])
    single, pair = f"{start} $A {extract}", f"{start} $A {delimiter} $B:0 {extract}"
    _put_around(tokenizer, single, pair, [start, delimiter, extract])


def _put_around(tokenizer: tokenizers.Tokenizer, single: str, pair: str, names: list[str]) -> None:
    """Let the library put special tokens around texts."""
    ids = [(token, tokenizer.token_to_id(token)) for token in names]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def settings(vocabulary: Path) -> dict[str, bool | None]:
    """What the file of settings beside a vocabulary says of cleaning; nothing where there is no such file.

    Raises:
        ValueError: if it is damaged, or says what is not done here.
    """
    path = vocabulary.with_name(TOKENIZER_CONFIG)
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; fetch it again, or delete it") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no table; fetch it again, or delete it")
    names = ("do_lower_case", "keep_accents", "strip_accents", "tokenize_chinese_chars")
    found = {name: table[name] for name in names if table.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, bool):
            raise ValueError(f"{path}: {name} must be true or false, got {value!r}")
    if table.get("do_basic_tokenize") is False:
        raise ValueError(f"{path}: do_basic_tokenize is false, but text is always cut into words here")
    return found

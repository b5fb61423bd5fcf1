"""How the models here were made: `python make.py`, with the package of SentencePiece. No test runs this.

They have the special pieces and the options of ALBERT's and XLNet's published commands, and a few rules of their own in
place of the long table of Unicode. `wanted.json` has what the authors' codes make of some texts with them.
"""

import io
import json
import sys
import tempfile
from pathlib import Path

import sentencepiece

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import authors  # noqa: E402

GIVEN = ["(", ")", '"', "-", ".", "–", "£", "€"]
OPTIONS = {
    "albert": {
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": -1,
        "eos_id": -1,
        "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
        "user_defined_symbols": GIVEN,
    },
    "xlnet": {
        "control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"],
        "user_defined_symbols": ["<eop>", *GIVEN],
    },
}
STORY = "the a of and in to was were old new Great little House River bridge Market built painted opened near over"
WORDS = STORY.split()
LINES = [
    f"{WORDS[n % 20]} {WORDS[n * 7 % 20]} {WORDS[n * 3 % 19]}, in {1900 + n % 50}, {WORDS[n * 11 % 17]} "
    f'{n * 37 % 90},{n % 10}00 ({WORDS[n * 5 % 20]}-{WORDS[n * 13 % 20]}) "{WORDS[n % 13]}" <{n % 7}> [{n % 5}].'
    for n in range(4000)
]
RULES = "2460\t31\n2461\t32\nFB01\t66 69\nA0\t20\nAD\t\n"  # ① ② ﬁ, a hard space, and nothing for a soft hyphen
TEXTS = [
    "The old bridge (of 1904) was built near the River, over the Market-House.",
    "In 1931, 37,000 painted \"little\" bridges; ``a new'' one.",
    "Café \u2460 \ufb01 caf\u00e9 soft\u00adhyphen hard\u00a0space",
    "  runs   of \t spaces \n",
    "<pad> [CLS] <cls> x<mask> [MASK]. <unk> </s> <s> <eod>",
    "ΑΒΓ 中文 ünseen Ünseen",
    "",
    "1904, 11,003, 1,5,",
]

wanted: dict[str, list] = {"texts": TEXTS}
rules = Path(tempfile.mkdtemp()) / "rules.tsv"
rules.write_text(RULES)
for name, options in OPTIONS.items():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(authors.cleaned(line, name == "albert") for line in LINES),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        model_type="unigram",
        character_coverage=0.99995,
        normalization_rule_tsv=str(rules),
        num_threads=1,
        minloglevel=1,
        **options,
    )
    (HERE / f"{name}.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    wanted[name] = [authors.ids(processor, text, name == "albert") for text in TEXTS]
(HERE / "wanted.json").write_text(json.dumps(wanted, indent=1, ensure_ascii=False), encoding="utf-8")

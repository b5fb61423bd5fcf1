"""Which columns of a table hold texts, options and labels: as they are given, or by their usual names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from regard.storage.names import did_you_mean

# The usual names, in lower case; a column has one of them whatever its case.
PAIRS = [
    tuple(names.split(" + "))
    for names in (
        *("sentence1 + sentence2", "sentence_1 + sentence_2", "sentence_a + sentence_b", "#1 string + #2 string"),
        *("text1 + text2", "text_1 + text_2", "text_a + text_b", "text + text_pair", "question1 + question2"),
        *("premise + hypothesis", "claim + evidence", "question + sentence", "question + passage"),
        *("question + context", "question + answer", "query + passage", "query + document"),
    )
]
TEXTS = (
    *("text", "sentence", "review", "content", "document", "comment", "tweet", "message", "utterance", "abstract"),
    *("question", "query", "claim"),
)
BEGINNINGS = (*TEXTS, "context", "ctx", "premise", "prompt", "stem", "goal", "startphrase")  # of options
OPTION_LISTS = ("options", "choices", "endings")
OPTION = re.compile(r"(option|choice|ending|answer|sol)[ _-]?([0-9]|[a-j])")
LABELS = (
    *("label", "labels", "gold_label", "target", "score", "class", "category", "sentiment", "stars", "rating"),
    *("similarity", "similarity_score", "is_duplicate", "quality", "intent", "emotion", "topic"),
)
ANSWERS = (*LABELS, "answer", "answerkey", "answer_key", "correct", "gold")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what."""

    texts: tuple[str, ...]  # one, or those of a pair
    options: tuple[str, ...] = ()  # one with lists, or one an option
    label: str = ""

    @property
    def all(self) -> list[str]:
        """Those which are read, the label's last."""
        return [*self.texts, *self.options, *([self.label] if self.label else [])]

    def __str__(self) -> str:
        parts = [f"{'pair' if len(self.texts) == 2 else 'text'} from {' and '.join(self.texts)}"]
        parts += [f"options from {', '.join(self.options)}"] * bool(self.options)
        parts += [f"label from {self.label}"] * bool(self.label)
        return ", ".join(parts)


def found_columns(names: Sequence[str], asked: Columns, where: str, *, labelled: bool, are_nested: bool) -> Columns:
    """The columns which are asked for; of those which are not, the ones with usual names.

    Args:
        names: of all columns.
        asked: without texts, texts and options are found; without a label, that is found.
        where: what is said of the table in errors.
        labelled: whether a label is read.
        are_nested: whether a dot in a name enters an inner object.

    Raises:
        ValueError: if a column is not there, or several may be meant, or none.
    """
    for name in (*asked.texts, *asked.options, asked.label if labelled else ""):
        if name and name not in names and not (are_nested and name.split(".")[0] in names):
            raise ValueError(f"no column {name!r}{did_you_mean(name, names)} in {where}")
    others = [name for name in names if name != asked.label]
    texts, options = (asked.texts, asked.options) if asked.texts else _inputs(others, where)
    if not labelled:
        return Columns(texts, options)
    if asked.label:
        return Columns(texts, options, asked.label)
    known = _named([name for name in names if name not in (*texts, *options)], ANSWERS if options else LABELS)
    if len(known) != 1:
        what = f"may be {' or '.join(known)}" if known else "has none of the usual names"
        raise ValueError(f"the column of the label {what}, so label must name it; {where}")
    return Columns(texts, options, known[0])


def require_apart(names: Sequence[str], place: str) -> None:
    """Refuse columns which cannot be told apart; those without a name cannot be asked for, and may be many."""
    for number, name in enumerate(names):
        if name and name in names[:number]:
            raise ValueError(f"{place}: two columns are called {name!r}; give each a name of its own")
        if "\r" in name:
            raise ValueError(f"{place}: a carriage return alone ends no line; save the file with line feeds")


def _inputs(names: Sequence[str], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the texts and of the options which their usual names tell.

    Raises:
        ValueError: if several may be, or none.
    """
    options = _option_columns(names)
    apart = [name for name in names if name not in options]
    if options:
        found = [(name,) for name in _named(apart, BEGINNINGS)]
    else:
        lower = {name.lower(): name for name in apart}
        found = [(lower[first], lower[second]) for first, second in PAIRS if first in lower and second in lower]
        paired = {name for pair in found for name in pair}
        found += [(name,) for name in _named(apart, TEXTS) if name not in paired]
    if len(found) != 1:
        what = f"may be {' or '.join(' with '.join(texts) for texts in found)}" if found else "has no usual name"
        raise ValueError(
            f"the column of the text {what}, so text must name it (and pair the second text of a pair, or options "
            f"those of a multiple choice); {where}"
        )
    return found[0], options


def _option_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of options which their usual names tell: one with lists, or several which count from 0, 1 or a."""
    lists = _named(names, OPTION_LISTS)
    if len(lists) == 1:
        return (lists[0],)
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := OPTION.fullmatch(name.lower()):
            found.setdefault(match[1], {})[match[2]] = name
    for columns in found.values():
        for signs in ("0123456789", "123456789", "abcdefghij"):
            if len(columns) > 1 and set(columns) == set(signs[: len(columns)]):
                return tuple(columns[sign] for sign in signs[: len(columns)])
    return ()


def _named(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Those columns which have one of the known names."""
    known = set(known)
    return [name for name in names if name.lower() in known]

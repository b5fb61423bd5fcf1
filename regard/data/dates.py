"""The embedded corpus: dates as people write them, to ISO 8601.

    de_CH Dienstag, 3. März 1998  ->  1998-03-03

Babel's CLDR data say how a date is written in each of `LOCALES`, at the four standard widths (full, long, medium,
short), with the locale's own digits. The calendar is the Gregorian one everywhere, also where another is the habit
(Thailand, Iran). Every date lies in 1930 to 2029, so that a year of two digits names one year.

The locale's code leads the source, since 3/4/98 is a day in April in London and one in March in New York. With it no
source stands for two dates. A width which drops the day, the month or the year would break that promise and is left
out; in the present CLDR none does so.

The same arguments give the same examples under the same version of Babel; nothing is read but Babel's data.
"""

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, get_args

import numpy as np

from regard.data.order import permuted

FIRST = datetime.date(1930, 1, 1)
LAST = datetime.date(2029, 12, 31)
DAYS = (LAST - FIRST).days + 1
LOCALES = (
    *("en_US", "en_GB", "de_DE", "de_CH", "fr_FR", "es_ES", "pt_BR", "it_IT", "pl_PL", "fi_FI", "hu_HU", "tr_TR"),
    *("ru_RU", "uk_UA", "el_GR", "hy_AM", "ka_GE"),
    *("ar_EG", "fa_IR", "he_IL", "hi_IN", "mr_IN", "th_TH", "ko_KR", "ja_JP", "zh_CN"),
)
SPLITS = ("train", "validation", "test")  # 8, 1 and 1 date in 10

# The zero of each numbering system which is some locale's default; nine digits follow it in Unicode.
ZEROS = {"arab": 0x660, "arabext": 0x6F0, "deva": 0x966, "beng": 0x9E6, "mymr": 0x1040, "latn": 0x30}


Width = Literal["full", "long", "medium", "short"]


class Form:
    """One way to write a date: a locale at a width."""

    def __init__(self, locale: str, width: Width):
        from babel import Locale
        from babel.dates import DateTimeFormat, get_date_format, tokenize_pattern

        parsed = Locale.parse(locale)
        zero = ZEROS[parsed.default_numbering_system]
        digits = {ord("0") + digit: chr(zero + digit) for digit in range(10)}
        self.pattern = get_date_format(width, parsed).pattern
        self.locale = locale
        self._fields = set()
        self._parts: list[str | tuple[str, dict[int, str]]] = [f"{locale} "]
        for kind, value in tokenize_pattern(self.pattern):
            if kind == "chars":
                self._parts.append(str(value))
                continue
            symbol, count = value
            attribute, dates = _EXAMPLES[symbol]
            texts = {
                _attribute(date, attribute): str(DateTimeFormat(date, parsed)[symbol * int(count)]).translate(digits)
                for date in dates
            }
            self._fields.add(attribute)
            self._parts.append((attribute, texts))

    @property
    def is_whole(self) -> bool:
        """Whether day, month and year can all be read from it."""
        return {"day", "month", "year"} <= self._fields

    def write(self, date: datetime.date) -> str:
        """The date, the locale's code first."""
        at = {"day": date.day, "month": date.month, "year": date.year, "weekday": date.weekday(), "era": 0}
        return "".join(part if isinstance(part, str) else part[1][at[part[0]]] for part in self._parts)


def _attribute(date: datetime.date, name: str) -> int:
    """What of a date a field of a pattern depends on."""
    match name:
        case "weekday":
            return date.weekday()
        case "era":
            return 0
    return getattr(date, name)


_ALL_DAYS = [datetime.date(2000, 1, day) for day in range(1, 32)]
_ALL_MONTHS = [datetime.date(2000, month, 1) for month in range(1, 13)]
_ALL_YEARS = [datetime.date(year, 1, 1) for year in range(FIRST.year, LAST.year + 1)]
# The symbols of CLDR's patterns, and dates which show every value that the symbol can take.
_EXAMPLES = {
    "d": ("day", _ALL_DAYS),
    "M": ("month", _ALL_MONTHS),
    "L": ("month", _ALL_MONTHS),
    "y": ("year", _ALL_YEARS),
    "E": ("weekday", _ALL_DAYS[:7]),
    "c": ("weekday", _ALL_DAYS[:7]),
    "G": ("era", _ALL_DAYS[:1]),
}


@cache
def forms(locales: Sequence[str] = LOCALES) -> tuple[Form, ...]:
    """Every way in which these locales write a whole date; where two widths are the same, one of them.

    Raises:
        ValueError: if Babel does not know a locale, or the locale's digits are not in `ZEROS`.
    """
    from babel import Locale, UnknownLocaleError

    for locale in locales:
        try:
            system = Locale.parse(locale).default_numbering_system
        except (UnknownLocaleError, ValueError) as error:
            raise ValueError(f"no locale {locale!r} in Babel ({error}); write it as de_CH") from error
        if system not in ZEROS:
            raise ValueError(f"locale {locale} writes digits of the system {system!r}, which is not in ZEROS")
    made = (Form(locale, width) for locale in locales for width in get_args(Width))
    whole = {(form.locale, form.pattern): form for form in made if form.is_whole}
    return tuple(whole.values())


def split_of(date: datetime.date) -> str:
    """The split to which a date belongs, by a hash of its ISO form."""
    place = hashlib.sha256(date.isoformat().encode()).digest()[0] % 10
    return {8: "validation", 9: "test"}.get(place, "train")


@cache
def _days(split: str) -> tuple[datetime.date, ...]:
    """The dates of a split."""
    every = (FIRST + datetime.timedelta(days=day) for day in range(DAYS))
    return tuple(date for date in every if split_of(date) == split)


def available(split: str, locales: Sequence[str] = LOCALES) -> int:
    """How many different examples a split has: its dates times the ways to write one."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    return len(_days(split)) * len(forms(tuple(locales)))


def dates(split: str, count: int, seed: int = 0, locales: Sequence[str] = LOCALES) -> Iterator[tuple[str, str]]:
    """`count` examples (source, target) of a split, which differ in date or form, in the order which the seed gives.

    Raises:
        ValueError: if the split is unknown, or has fewer than `count` examples.
    """
    total, days, ways = available(split, locales), _days(split), forms(tuple(locales))
    if not 0 < count <= total:
        raise ValueError(f"count must be from 1 to {total}, the examples of dates/{split}, got {count}")
    for start in range(0, count, 1 << 14):
        drawn = permuted(np.arange(start, min(start + (1 << 14), count)), total, (seed, SPLITS.index(split)))
        for example in drawn.tolist():
            date = days[example // len(ways)]
            yield ways[example % len(ways)].write(date), date.isoformat()

"""The embedded corpus of dates."""

import datetime
import random
import re
import subprocess
import sys
import time
import unicodedata
from itertools import pairwise

import pytest
from babel import Locale
from babel.dates import format_date

from regard.data.dates import DAYS, FIRST, LAST, LOCALES, SPLITS, available, dates, forms, split_of

EVERY_DAY = [FIRST + datetime.timedelta(days=day) for day in range(DAYS)]
WIDTHS = ("full", "long", "medium", "short")


def _latin(text):
    """The same text with the digits 0 to 9 in place of any other decimal digits."""
    return "".join(str(unicodedata.decimal(sign)) if unicodedata.category(sign) == "Nd" else sign for sign in text)


def test_forms_are_written_as_babel_writes_them():
    chance = random.Random(1)
    for locale in LOCALES:
        written = forms((locale,))
        for date in chance.sample(EVERY_DAY, 30):
            theirs = {f"{locale} {format_date(date, width, Locale.parse(locale))}" for width in WIDTHS}
            assert {_latin(form.write(date)) for form in written} == theirs


def test_there_are_twenty_locales_of_many_scripts():
    scripts = {unicodedata.name(sign).split()[0] for source, _ in dates("train", 20_000) for sign in source[6:]}
    assert len(LOCALES) >= 20
    assert scripts >= {
        *("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "HANGUL", "CJK", "ARMENIAN"),
        *("GEORGIAN", "ARABIC-INDIC", "EXTENDED"),
    }


@pytest.mark.parametrize(("locale", "zero"), [("ar_EG", "٠"), ("fa_IR", "۰"), ("mr_IN", "०"), ("de_CH", "0")])
def test_digits_are_the_locales_own(locale, zero):
    signs = {sign for date in EVERY_DAY[:365] for form in forms((locale,)) for sign in form.write(date)}
    zeros = {sign for sign in signs if unicodedata.category(sign) == "Nd" and unicodedata.decimal(sign) == 0}
    assert zeros == {zero}


def test_some_examples_are_as_a_reader_expects_them():
    date = datetime.date(1998, 3, 3)
    assert "de_CH Dienstag, 3. März 1998" in {form.write(date) for form in forms(("de_CH",))}
    assert "ja_JP 1998年3月3日" in {form.write(date) for form in forms(("ja_JP",))}
    assert "en_US 3/3/98" in {form.write(date) for form in forms(("en_US",))}


def test_every_width_of_every_locale_names_day_month_and_year():
    for locale in LOCALES:
        different = {format_date(datetime.date(1998, 3, 3), width, Locale.parse(locale)) for width in WIDTHS}
        assert len(forms((locale,))) >= len(different) - 1


def test_targets_are_iso_dates_in_range():
    for _, target in dates("train", 5000):
        assert FIRST <= datetime.date.fromisoformat(target) <= LAST
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", target)


def test_two_digits_name_one_year():
    assert f"{FIRST} {LAST}" == "1930-01-01 2029-12-31"
    assert len({date.year % 100 for date in EVERY_DAY}) == len({date.year for date in EVERY_DAY})


def test_splits_have_no_date_in_common():
    days = {split: {target for _, target in dates(split, 50_000)} for split in SPLITS}
    assert not days["train"] & days["validation"]
    assert not days["train"] & days["test"]
    assert not days["validation"] & days["test"]


def test_splits_are_about_8_1_and_1_in_10():
    shares = {split: sum(split_of(date) == split for date in EVERY_DAY) / DAYS for split in SPLITS}
    assert shares["train"] == pytest.approx(0.8, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.01)
    assert shares["test"] == pytest.approx(0.1, abs=0.01)


def test_the_seed_decides():
    assert list(dates("train", 100, 1)) == list(dates("train", 100, 1))
    assert list(dates("train", 100, 1)) != list(dates("train", 100, 2))


def test_another_process_makes_the_same():
    program = "from regard.data.dates import dates; print(ascii(list(dates('test', 50, 3))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ascii(list(dates("test", 50, 3)))


def test_fewer_examples_are_the_first_of_more():
    assert list(dates("train", 40_000, 1))[:20_000] == list(dates("train", 20_000, 1))


def test_all_examples_of_a_split_are_different_in_date_or_form():
    total = available("validation", ("de_CH", "ko_KR"))
    assert total == sum(split_of(date) == "validation" for date in EVERY_DAY) * len(forms(("de_CH", "ko_KR")))
    assert len(set(dates("validation", total, 1, ("de_CH", "ko_KR")))) == total


def test_all_locales_and_days_come_equally_often():
    drawn = list(dates("train", 26_000, 5))
    for locale in LOCALES:
        expected = 26_000 * len(forms((locale,))) / len(forms(LOCALES))
        found = sum(source.startswith(locale + " ") for source, _ in drawn)
        assert found == pytest.approx(expected, abs=6 * expected**0.5)


def test_a_hundred_thousand_examples_take_seconds():
    start = time.monotonic()
    assert sum(1 for _ in dates("train", 100_000)) == 100_000
    assert time.monotonic() - start < 10  # about 1 s on an idle core


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dev", 10), "train, validation, test, got 'dev'"),
        (("train", 0), "count must be from 1"),
        (("test", 10**9), "the examples of dates/test"),
        (("test", 10, 0, ("xx_XX",)), "no locale 'xx_XX'"),
        (("test", 10, 0, ("km_KH_",)), "no locale 'km_KH_'"),
        (("test", 10, 0, ("my_MM", "dz_BT")), "dz_BT writes digits of the system 'tibt'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        next(dates(*arguments))


def test_no_source_stands_for_two_dates_in_four_years():
    _check(EVERY_DAY[:: DAYS // 1461] + EVERY_DAY[-1461:])


@pytest.mark.slow
def test_no_source_stands_for_two_dates():
    _check(EVERY_DAY)


def _check(days):
    """That a source names one date, by writing them all; a locale's code keeps it apart from other locales."""
    for locale in LOCALES:
        written = sorted((form.write(date), date) for form in forms((locale,)) for date in days)
        for (source, date), (following, other) in pairwise(written):
            assert source != following or date == other, source

"""Where sentences end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.data.sentences import sentences_of

PROSE = [
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("It ended... Then it went on.", ["It ended...", "Then it went on."]),
    ("He said so... and left.", ["He said so... and left."]),
    ('She said "Go." "Why?" he asked.', ['She said "Go."', '"Why?" he asked.']),
    ("(It was late.) They left.", ["(It was late.)", "They left."]),
    ("Dr. No met Mr. J. R. Smith. He bowed.", ["Dr. No met Mr. J. R. Smith.", "He bowed."]),
    ("The U.S. Army came. It left.", ["The U.S. Army came.", "It left."]),
    ("At 3.5 percent. 7 were left.", ["At 3.5 percent.", "7 were left."]),
    ("Was it? yes.", ["Was it? yes."]),
    ("The end . Another .", ["The end .", "Another ."]),
    ("他来了。他走了！「好。」她说", ["他来了。", "他走了！", "「好。」", "她说"]),
    ("  One.   Two.  ", ["One.", "Two."]),
    ("", []),
]


@pytest.mark.parametrize(("paragraph", "sentences"), PROSE)
def test_prose_is_divided_after_marks_which_a_space_and_no_small_letter_follow(paragraph, sentences):
    assert sentences_of(paragraph) == sentences


TOKENISED = [
    ("He met Dr. No . They left !", ["He met Dr. No .", "They left !"]),
    ("It was St. Louis vs. Boston . <unk> won .", ["It was St. Louis vs. Boston .", "<unk> won ."]),
    ('" Go . " She went . " Why ? " he asked .', ['" Go . "', "She went .", '" Why ? " he asked .']),
    ("( It was late . ) They left .", ["( It was late . )", "They left ."]),
    ("Is 5 . 2 @.@ 5 is more .", ["Is 5 .", "2 @.@ 5 is more ."]),
]


@pytest.mark.parametrize(("paragraph", "sentences"), TOKENISED)
def test_tokenised_text_is_divided_at_marks_between_spaces(paragraph, sentences):
    assert sentences_of(paragraph, is_tokenised=True) == sentences


@given(some.text("aB.!? \"'()。", max_size=60), some.booleans())
@settings(max_examples=300)
def test_dividing_loses_nothing_but_spaces(paragraph, is_tokenised):
    sentences = sentences_of(paragraph, is_tokenised=is_tokenised)
    assert "".join("".join(sentences).split()) == "".join(paragraph.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.timeout(30)
def test_a_long_run_of_marks_takes_no_long_time():
    assert sentences_of("." * 2_000_000 + "a") == ["." * 2_000_000 + "a"]

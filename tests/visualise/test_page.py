"""What the page holds, read without a browser."""

import base64
import json
import re
import time
import zlib

import numpy as np
import pytest

from regard.visualise import AttentionMap, Chances, Example, Passage, Pattern, Picture, write_page
from regard.visualise.page import page_parts

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 4)).astype(np.float32)
HOSTILE = "</script><script>window.stolen = 1</script><!--"


def example(title="one", tokens="vwxyz"):
    return Example(title, [AttentionMap("encoder.0.attention", WEIGHTS, list("abcd"), list(tokens))], {"source": title})


def blocks(text):
    found = re.findall(r'<script type="application/json" class="example">(.*?)</script>', text, re.DOTALL)
    return [json.loads(block) for block in found]


def test_the_page_holds_each_weight_within_half_a_step(tmp_path):
    write_page(tmp_path / "page.html", [example()])
    drawing = blocks((tmp_path / "page.html").read_text("utf-8"))[0]["drawings"][0]
    planes = np.frombuffer(zlib.decompress(base64.b64decode(drawing["weights"])), np.uint8).reshape(2, *WEIGHTS.shape)
    held = (planes[0].astype(int) * 256 + planes[1]) / 65535
    assert np.abs(held - WEIGHTS).max() <= 0.5 / 65535 + 1e-7


def test_a_pattern_travels_as_zeros_and_ones(tmp_path):
    allowed = np.tri(5, dtype=bool)
    write_page(tmp_path / "page.html", [Example("one", patterns=[Pattern("causal", allowed)])])
    drawing = blocks((tmp_path / "page.html").read_text("utf-8"))[0]["drawings"][0]
    planes = np.frombuffer(zlib.decompress(base64.b64decode(drawing["weights"])), np.uint8).reshape(2, 5, 5)
    assert (planes == 255 * allowed).all()


def test_a_mask_of_several_maps_travels_once(tmp_path):
    causal, heads = np.tri(4, dtype=bool), np.stack([np.tri(4, dtype=bool), np.eye(4, dtype=bool)])
    weights = np.full((2, 4, 4), 0.25)
    maps = [AttentionMap(str(n), weights, "abcd", "abcd", mask) for n, mask in enumerate([causal, heads, causal, None])]
    write_page(tmp_path / "page.html", [Example("one", maps)])
    (block,) = blocks((tmp_path / "page.html").read_text("utf-8"))
    assert [drawing["allowed"] for drawing in block["drawings"]] == [0, 1, 0, None]
    held = [np.frombuffer(zlib.decompress(base64.b64decode(mask)), bool) for mask in block["masks"]]
    assert (held[0] == causal.ravel()).all()
    assert (held[1] == heads.ravel()).all()


def test_passages_travel_with_a_number_for_each_token(tmp_path):
    passages = [Passage("text", ("a", " "), (None, 2.5)), Passage("written", ("</script>",), (0.0,))]
    shown = Example("one", example().maps, passages=passages)
    write_page(tmp_path / "page.html", [shown])
    assert blocks((tmp_path / "page.html").read_text("utf-8"))[0]["passages"] == [
        {"name": "text", "tokens": ["a", "␣"], "bits": [None, 2.5], "notes": [], "marked": None},
        {"name": "written", "tokens": ["</script>"], "bits": [0.0], "notes": [], "marked": None},
    ]


def test_notes_and_chances_travel_as_text(tmp_path):
    passage = Passage("text", ("a", "b"), notes=(("</script>",), ()), marked=(1, 1))
    chances = Chances("class", (("<!--", 0.75), (" ", 0.25)), "\ud800")
    write_page(tmp_path / "page.html", [Example("one", example().maps, passages=[passage], chances=[chances])])
    (block,) = blocks((tmp_path / "page.html").read_text("utf-8"))
    assert block["passages"][0]["notes"] == [["</script>"], []]
    assert block["passages"][0]["marked"] == [1, 1]
    assert block["chances"] == [{"title": "class", "shares": [["<!--", 0.75], ["␣", 0.25]], "note": "?"}]


def test_tokens_cannot_end_the_element_they_stand_in(tmp_path):
    hostile = example(HOSTILE, [HOSTILE, "<!--", "-->", "&lt;", "\u2028"])
    write_page(tmp_path / "page.html", [hostile], title=HOSTILE)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 3  # example, titles, the page's own
    assert "<!--" not in text


def test_lone_surrogates_are_written(tmp_path):
    write_page(tmp_path / "page.html", [example("\ud800", ["\ud800", *"wxyz"])], title="\udfff")
    assert blocks((tmp_path / "page.html").read_text("utf-8"))[0]["text"] == [["source", "?"]]


def test_the_page_names_no_address(tmp_path):
    write_page(tmp_path / "page.html", [example()])
    addresses = re.findall(r"\b\w+://[^\s\"']*", (tmp_path / "page.html").read_text("utf-8"))
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name of a language, never fetched


def test_examples_are_taken_one_by_one():
    taken = []

    def several():
        for number in range(3):
            taken.append(number)
            yield example(str(number))

    parts = page_parts(several())
    next(parts)
    assert taken == []
    next(parts)
    assert taken == [0]


def test_a_page_which_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def failing():
        yield example()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_page(path, failing())
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_no_example_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one example"):
        write_page(tmp_path / "page.html", [])


def test_twelve_layers_of_twelve_heads_take_seconds_and_megabytes(tmp_path):
    tokens = [f"token{place}" for place in range(200)]
    weights = np.random.default_rng(0).dirichlet(np.full(200, 0.3), size=(12, 200))
    big = Example("big", [AttentionMap(f"blocks.{layer}.attention", weights, tokens, tokens) for layer in range(12)])
    start = time.perf_counter()
    write_page(tmp_path / "page.html", [big])
    assert time.perf_counter() - start < 10  # seconds; about 2 on a quiet core
    assert (tmp_path / "page.html").stat().st_size < 12e6  # bytes, of 23 MB of weights in float32


def test_a_notebook_gets_a_frame_which_shares_nothing_with_it():
    shown = Picture(example(), title='a "title"')._repr_html_()
    assert re.match(r'<iframe title="a &quot;title&quot;" sandbox="allow-scripts" ', shown)
    assert shown.count("<") == 2  # the frame's own; the page stands in it escaped


def test_a_picture_is_saved_by_its_suffix(tmp_path):
    picture = Picture(example())
    for suffix, start in ((".html", b"<!doctype html>"), (".png", b"\x89PNG"), (".svg", b"<?xml")):
        picture.save(tmp_path / f"picture{suffix}")
        assert (tmp_path / f"picture{suffix}").read_bytes().startswith(start)


def test_a_figure_of_several_examples_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="one example, got 2"):
        Picture([example(), example()]).save(tmp_path / "picture.png")

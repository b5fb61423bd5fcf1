"""Texts of many requests: the same as alone, whenever they come and go."""

import json

import anyio
import pytest
import torch
from small_services import ask, endless_writer, with_service, writer
from tiny import WRITING

from regard.decoding.sample import Sampling
from regard.decoding.writer import Line
from regard.serving.metrics import Metrics
from regard.serving.writing import SharedWriter

ASKED = [
    {"prompt": "abc", "tokens": 9, "seed": 3},
    {"prompt": "h", "tokens": 30, "temperature": 0},
    {"prompt": "fedcbaabcdef", "tokens": 4, "seed": 1, "top_k": 3},
    {"prompt": "", "tokens": 12, "seed": 7, "top_p": 0.5, "temperature": 2.0},
    {"prompt": "bbbb", "tokens": 20, "seed": 2, "repetition_penalty": 1.5},
    {"prompt": "ga", "tokens": 25, "seed": 4, "stop": ["c", "ha"]},
    {"prompt": "abcdefgh", "tokens": 30, "temperature": 0, "window": True},
]


def alone(model, asked):
    """What the library writes for one request."""
    options = {name: value for name, value in asked.items() if name != "prompt"}
    return model.generate([asked["prompt"]], **options)[0]


@pytest.mark.parametrize("name", WRITING)
def test_a_text_is_the_same_whenever_others_come_and_go(name):
    model = writer(name)
    wanted = [alone(model, asked) for asked in ASKED]
    assert len(set(wanted)) > 3

    async def talk(client, service):
        found = {}

        async def one(n, late):
            await anyio.sleep(late)
            answer = await client.post("/generate", json=ASKED[n % len(ASKED)])
            assert answer.status_code == 200, answer.text
            found[n] = answer.json()

        async with anyio.create_task_group() as group:
            for n in range(3 * len(ASKED)):
                group.start_soon(one, n, 0.004 * (n % 5))
        return found, service.metrics.inputs

    found, together = with_service(model, talk, lines=4)
    for n, answer in found.items():
        assert answer["text"] == wanted[n % len(wanted)]
        assert answer["ended"] in ("end", "stop", "length")
        assert answer["tokens"] <= ASKED[n % len(ASKED)]["tokens"]
    assert sum(together.counts[1:3]) > 0  # some steps were of several texts
    assert sum(together.counts[3:]) == 0  # none of more than four


def test_a_stream_is_the_whole_text_in_parts():
    model = writer()
    for asked in ASKED[:3]:
        found = ask(model, "/generate", asked | {"stream": True})
        assert found.headers["content-type"].startswith("application/x-ndjson")
        *parts, last = map(json.loads, found.text.splitlines())
        whole = ask(model, "/generate", asked).json()
        assert "".join(part["text"] for part in (*parts, last)) == whole["text"]
        assert (last["ended"], last["tokens"]) == (whole["ended"], whole["tokens"])
        assert all(part.keys() == {"text"} for part in parts)


def test_a_short_text_does_not_wait_for_a_long_one():
    async def talk(client, service):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.post("/generate", json={"prompt": "abc", "tokens": 8000, "stream": True}))
            with anyio.fail_after(30):
                while not service.metrics.tokens["written"]:
                    await anyio.sleep(0.01)
            short = await client.post("/generate", json={"prompt": "abc", "tokens": 3})
            assert short.json()["tokens"] == 3
            assert service.metrics.tokens["written"] < 8000
            assert (await client.get("/health")).status_code == 200
            group.cancel_scope.cancel()

    with_service(endless_writer(), talk, new_tokens=8000)


def test_a_prompt_which_cannot_be_read_spoils_no_other(monkeypatch):
    begin = SharedWriter.started

    def failing(self, lines):
        if any(len(line.ids) == 5 for line in lines):
            raise MemoryError
        return begin(self, lines)

    monkeypatch.setattr(SharedWriter, "started", failing)
    model = writer()

    async def talk(client, _):
        bad = await client.post("/generate", json={"prompt": "abcde", "tokens": 3})
        assert bad.status_code == 500
        good = await client.post("/generate", json=ASKED[0])
        assert good.json()["text"] == alone(model, ASKED[0])

    with_service(model, talk)


def together(model, bodies, **limits):
    """The answers to requests which are written side by side."""

    async def talk(client, service):
        found = {}

        async def one(n, body):
            found[n] = await client.post("/generate", json=body)

        async with anyio.create_task_group() as group:
            for n, body in enumerate(bodies):
                group.start_soon(one, n, body)
        assert service.is_ready
        return [found[n] for n in range(len(bodies))]

    return with_service(model, talk, **limits)


def test_a_text_which_cannot_take_its_token_spoils_no_other(monkeypatch):
    add = Line.add

    def failing(line, token):
        if line.seed == 99 and line.left == 3:
            raise RuntimeError("no such letter")
        return add(line, token)

    monkeypatch.setattr(Line, "add", failing)
    model = writer()
    *good, bad = together(model, [*ASKED, {"prompt": "abc", "tokens": 6, "temperature": 0, "seed": 99}])
    assert bad.status_code == 500
    assert [one.json()["text"] for one in good] == [alone(model, asked) for asked in ASKED]


@pytest.mark.parametrize("many", [1, 2])
def test_a_token_which_cannot_be_drawn_spoils_no_other(monkeypatch, many):
    """Neither those which want it drawn otherwise, nor those which want it drawn alike."""
    choose = Sampling.choose
    model, asked = writer(), [{"prompt": "abc", "tokens": 12, "seed": n, "top_k": 4} for n in range(3)]
    wanted = [alone(model, one) for one in (*ASKED, *asked)]

    def failing(sampling, scores, chances, is_there=None):
        if sampling.top_k == 4 and (many == 1 or len(scores) > 1):
            raise RuntimeError("no chance")
        return choose(sampling, scores, chances, is_there)

    monkeypatch.setattr(Sampling, "choose", failing)
    found = together(model, [*ASKED, *asked], lines=10)
    assert [one.json().get("text") for one in found[: len(ASKED)]] == wanted[: len(ASKED)]
    if many == 1:
        assert {one.status_code for one in found[len(ASKED) :]} == {500}
    else:  # together they fail, and each alone is drawn with the same chance
        assert [one.json().get("text") for one in found] == wanted


def test_tokens_are_counted():
    model = writer()

    async def talk(client, service):
        answer = (await client.post("/generate", json={"prompt": "abc", "tokens": 7, "seed": 3})).json()
        tokens = service.metrics.tokens
        assert tokens["read"] == 3
        assert tokens["written"] == answer["tokens"] + (answer["ended"] == "end")

    with_service(model, talk)
    assert Metrics().tokens["read"] == 0


def test_texts_which_cannot_join_others_are_told_as_these_are():
    async def talk(client, service):
        answers = []

        async def one(tokens):
            answers.append(await client.post("/generate", json={"prompt": "abc", "tokens": tokens}))

        def fails(state, other):
            """No room for both."""
            raise RuntimeError("no room")

        async with anyio.create_task_group() as group:
            group.start_soon(one, 1000)
            with anyio.fail_after(20):
                while not service.metrics.tokens["written"]:
                    await anyio.sleep(0.01)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch, "cat", fails)
                group.start_soon(one, 3)
                with anyio.fail_after(20):
                    while len(answers) < 2:
                        await anyio.sleep(0.01)
        return [answer.status_code for answer in answers]

    assert with_service(endless_writer(), talk, seconds=60.0) == [500, 500]

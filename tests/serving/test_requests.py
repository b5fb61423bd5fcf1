"""What a service answers: the same as the library, whatever is asked beside it, and one sentence where it does not."""

import json

import anyio
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_services import LABELS, WORDS, ask, reader, sentence, translator, with_service, writer

from regard.models.heads import HEADS
from regard.serving.limits import Limits
from regard.serving.service import Service

BODIES = {  # a body of each endpoint, and the model which has it
    "/predict": (lambda: reader("classification"), {"texts": ["the red dog", ["a man", "is old"]]}),
    "/tag": (lambda: reader("tagging"), {"sentences": ["the red dog.", ["a", "man"]]}),
    "/choose": (lambda: reader("choice"), {"text": "the dog", "options": ["sees a cat", "is old"]}),
    "/answer": (lambda: reader("span"), {"questions": [["who is old?", "the man is old, the dog is red."]]}),
    "/fill": (lambda: reader("masked"), {"texts": ["the [MASK] dog"], "best": 3}),
    "/embed": (lambda: reader(""), {"texts": ["the red dog", ""]}),
    "/translate": (translator, {"sentences": ["a b", "c"], "beams": 2, "longest": 8}),
    "/generate": (writer, {"prompt": "abc", "tokens": 5}),
}


@pytest.fixture(scope="module")
def classifier():
    return reader("classification")


@pytest.mark.parametrize("path", BODIES)
def test_a_model_has_the_endpoints_which_it_is_for_and_says_so_of_the_others(path):
    make, body = BODIES[path]

    async def talk(client, service):
        found = await client.post(path, json=body)
        assert found.status_code == 200, found.text
        assert path in service.endpoints
        about = (await client.get("/about")).json()
        assert about["endpoints"] == service.endpoints
        described = (await client.get("/openapi.json")).json()["paths"]
        assert {name for name, entry in described.items() if "post" in entry} == set(service.endpoints)
        page = (await client.get("/docs")).text
        assert f"POST {path}" in page
        assert f"curl http://service{path} -H" in page
        assert "src=" not in page  # nothing is fetched
        for other in BODIES.keys() - set(service.endpoints):
            refused = await client.post(other, json={})
            assert refused.status_code == 404
            assert f"{other} needs" in refused.json()["error"]
            assert path in refused.json()["error"]
        assert (await client.get(path)).status_code == 405
        assert (await client.get("/health")).json() == {"live": True, "ready": True}

    with_service(make(), talk)


def test_a_model_of_both_orders_is_asked_of_pairs_alone():
    """A single text is refused before it stands in one batch with what others ask."""
    own = reader("classification")
    own.model.pairs = "both"

    async def talk(client, service):
        one, turned = ["a man", "is old"], ["is old", "a man"]
        found = (await client.post("/predict", json={"texts": [one, turned]})).json()["predictions"]
        assert found[0]["probabilities"] == pytest.approx(found[1]["probabilities"], abs=1e-6)
        refused = await client.post("/predict", json={"texts": [one, "the red dog"]})
        assert refused.status_code == 422
        assert refused.json()["error"] == (
            "texts[1]: pairs are read in both orders here, got one text, 'the red dog'; give two"
        )
        schema = (await client.get("/openapi.json")).json()["paths"]["/predict"]["post"]["requestBody"]
        example = schema["content"]["application/json"]["schema"]["examples"][0]
        assert (await client.post("/predict", json=example)).status_code == 200

    with_service(own, talk)


def test_every_answer_has_the_shape_which_the_description_gives():
    for path, (make, body) in BODIES.items():

        async def talk(client, service, path=path, body=body):
            found = (await client.post(path, json=body)).json()
            description = (await client.get("/openapi.json")).json()
            entry = description["paths"][path]["post"]
            name = entry["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert set(found) == set(description["components"]["schemas"][name]["properties"])
            example = entry["requestBody"]["content"]["application/json"]["schema"]["examples"][0]
            assert (await client.post(path, json=example)).status_code == 200

        with_service(make(), talk)


@pytest.mark.parametrize("path", BODIES)
def test_the_description_declares_every_status_and_form_and_speaks_to_those_who_ask(path):
    async def talk(client, _):
        return (await client.get("/openapi.json")).json()

    paths = with_service(BODIES[path][0](), talk)["paths"]
    answers = paths[path]["post"]["responses"]
    assert set(answers) == {"200", "408", "413", "415", "422", "500", "503", "504"}
    lines = {"application/x-ndjson"} if path == "/generate" else set()
    assert set(answers["200"]["content"]) == {"application/json"} | lines
    assert set(answers["503"]["headers"]) == {"Retry-After"}
    health = paths["/health"]["get"]["responses"]
    assert set(health) == {"200", "503"}
    assert health["200"]["content"] == health["503"]["content"]
    assert "$ref" in health["200"]["content"]["application/json"]["schema"]
    for entry in (one for methods in paths.values() for one in methods.values()):
        assert len(entry["description"].split()) > 8, entry["description"]
        assert all(len(one["description"].split()) > 3 for one in entry["responses"].values()), entry["responses"]


def test_every_line_of_a_stream_has_the_shape_which_the_description_gives():
    async def talk(client, _):
        entry = (await client.get("/openapi.json")).json()
        answer = entry["paths"]["/generate"]["post"]["responses"]["200"]["content"]
        fields = set(answer["application/x-ndjson"]["schema"]["properties"])
        text = (await client.post("/generate", json={"prompt": "abc", "tokens": 5, "stream": True})).text
        lines = [json.loads(line) for line in text.splitlines()]
        assert fields == {"text", "ended", "tokens", "error"}
        assert set().union(*lines) == fields - {"error"}

    with_service(writer(), talk)


def test_the_root_leads_to_the_description_and_health_can_be_asked_without_its_answer():
    async def talk(client, service):
        found = await client.get("/")
        assert found.is_redirect
        found = await client.get("/", follow_redirects=True)
        assert (found.status_code, found.url.path) == (200, "/docs")
        assert (await client.head("/health")).status_code == 200
        service.is_stopping = True
        assert (await client.head("/health")).status_code == 503

    with_service(reader(), talk)


def test_predictions_are_those_of_the_library(classifier):
    texts = ["the red dog", ("a man", "is old"), ""]
    found = ask(classifier, "/predict", {"texts": texts}).json()["predictions"]
    for one, wanted in zip(found, classifier.predict(texts), strict=True):
        assert one["label"] == wanted.label
        assert one["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5)


def test_regression_gives_numbers():
    model = reader("regression")
    [found] = ask(model, "/predict", {"texts": ["the red dog"]}).json()["predictions"]
    assert found == {"label": pytest.approx(model.predict(["the red dog"])[0].label, abs=1e-5)}


def test_similarity_gives_numbers_of_pairs_and_vectors_of_texts():
    model, pair = reader("similarity", longest=24), ("the red dog", "a man is old")

    async def talk(client, service):
        [found] = (await client.post("/predict", json={"texts": [pair]})).json()["predictions"]
        vectors = (await client.post("/embed", json={"texts": pair})).json()["embeddings"]
        assert found == {"label": pytest.approx(float(np.dot(*vectors)), abs=1e-5)}
        long = await client.post("/predict", json={"texts": [pair, ["a", "the red dog " * 9]]})
        assert long.status_code == 422
        assert long.json()["error"].startswith("texts[1] has 29 tokens with the special ones, and the limit is 24")
        cut = await client.post("/predict", json={"texts": [pair, ["a", "the red dog " * 9]], "truncate": True})
        assert cut.json()["truncated"] == 1
        alone = await client.post("/predict", json={"texts": ["the red dog"]})
        assert alone.json()["error"] == "texts[0]: two texts are compared here, got one text, 'the red dog'; give two"

    with_service(model, talk)


def test_tags_choices_answers_fillings_and_vectors_are_those_of_the_library():
    model = reader("tagging")
    [found] = ask(model, "/tag", {"sentences": ["the old man."]}).json()["sentences"]
    [wanted] = model.tag(["the old man."])
    assert found["words"] == ["the", "old", "man", "."]
    assert found["tags"] == wanted.tags
    assert found["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5)

    model = reader("choice")
    found = ask(model, "/choose", {"text": "the dog", "options": ["is red", "sees", "a house in"]}).json()
    wanted = model.choose("the dog", ["is red", "sees", "a house in"])
    assert found["option"] == wanted.option
    assert found["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5)

    model = reader("span", longest=24)
    context = "the old man sees a red dog, " * 5 + "in the house."
    body = {"questions": [["who is red?", context], ["the?", "a dog"]], "best": 2}
    found = ask(model, "/answer", body).json()["answers"]
    for one, (question, text) in zip(found, body["questions"], strict=True):
        wanted = model.answer(question, text)
        assert one["answer"] == wanted.best
        assert len(one["spans"]) == min(2, len(wanted.spans))
        assert text[one["spans"][0]["start"] : one["spans"][0]["end"]] == one["answer"]
        assert one["null_odds"] == pytest.approx(wanted.null_odds, abs=1e-4)
    refusing = body | {"threshold": min(one["null_odds"] for one in found) - 1}
    assert [one["answer"] for one in ask(model, "/answer", refusing).json()["answers"]] == ["", ""]

    model = reader("masked")
    [found] = ask(model, "/fill", {"texts": ["the [MASK] dog [MASK]"], "best": 4}).json()["texts"]
    wanted = model.fill("the [MASK] dog [MASK]", best=4)
    assert [[one["piece"] for one in best] for best in found] == [[one.piece for one in best] for best in wanted]

    model = reader("")
    found = ask(model, "/embed", {"texts": ["the dog", "a man"]}).json()["embeddings"]
    for row, wanted in zip(found, model.embed(["the dog", "a man"]).tolist(), strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)


def test_translations_are_those_of_the_library():
    model = translator()
    body = {"sentences": ["a b c", "d", "e e"], "beams": 3, "longest": 9}
    found = ask(model, "/translate", body).json()["translations"]
    wanted = model.search(body["sentences"], beams=3, longest=9)
    assert [one["text"] for one in found] == [best.text for best, *_ in wanted]
    assert [one["score"] for one in found] == pytest.approx([best.score for best, *_ in wanted], abs=1e-5)


def test_no_translation_may_be_longer_than_the_limit():
    body = {"sentences": ["a", "a b c"]}
    found = ask(translator(), "/translate", body, new_tokens=53)
    assert (found.status_code, "sentences[1] has 4 tokens, its translation may have 54" in found.text) == (422, True)
    assert ask(translator(), "/translate", body, new_tokens=54).status_code == 200
    assert ask(translator(), "/translate", body | {"longest": 8}, new_tokens=53).status_code == 200


def test_an_encoder_computes_as_many_tokens_together_as_the_service_may():
    model = reader()
    assert Service(model, Limits(batch=99), 1).model.batch == 99


@pytest.mark.parametrize("head", HEADS)
def test_every_head_can_be_served(head):
    model = reader(head, name="xlnet" if head == "permuted" else "bert")

    async def talk(client, service):
        assert service.endpoints[-1] == "/embed"
        assert len(service.endpoints) == (1 if head == "permuted" else 2)
        for path in service.endpoints:
            body = {"texts": [["a man", "is old"]]} if (head, path) == ("similarity", "/predict") else BODIES[path][1]
            found = await client.post(path, json=body)
            assert found.status_code == 200, found.text

    with_service(model, talk)


def test_neither_order_nor_what_is_asked_beside_it_changes_an_answer(classifier):
    texts = [sentence(n, 40) for n in range(60)]
    wanted = [one.probabilities for one in classifier.predict(texts)]

    async def talk(client, service):
        answers = {}

        async def one(n):
            found = await client.post("/predict", json={"texts": [texts[n], texts[-1 - n]]})
            answers[n] = [one["probabilities"] for one in found.json()["predictions"]]

        async with anyio.create_task_group() as group:
            for n in reversed(range(len(texts))):
                group.start_soon(one, n)
        batches = service.metrics.inputs
        assert sum(batches.counts) < len(texts)  # several were computed together
        return answers

    answers = with_service(classifier, talk, batch=200)
    for n in range(len(texts)):
        assert answers[n][0] == pytest.approx(wanted[n], abs=1e-5)
        assert answers[n][1] == pytest.approx(wanted[-1 - n], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"texts": ["a"', "not JSON"),
        ("", "not JSON"),
        ('{"texts": ["\\ud800"]}', "not JSON"),
        (b'{"texts": ["\xff"]}', "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "the body"),
        ('{"text": ["a"]}', "texts"),
        ('{"texts": ["a"], "txets": 1}', "did you mean 'texts'?"),
        ('{"texts": []}', "texts: list should have at least 1 item"),
        ('{"texts": "a"}', "texts: input should be a valid array"),
        ('{"texts": ["a", 5]}', "texts[1]: must be a text, or a list of two texts, got 5"),
        ('{"texts": [["a", "b", "c"]]}', "texts[0]: must be a text"),
        ('{"texts": ["a"], "truncate": "yes"}', "truncate: input should be a valid boolean"),
    ],
)
def test_a_body_which_is_wrong_gets_one_sentence(classifier, body, said):
    async def talk(client, _):
        return await client.post("/predict", content=body, headers={"Content-Type": "application/json"})

    found = with_service(classifier, talk)
    assert found.status_code == 422
    assert said in found.json()["error"]
    assert len(found.json()["error"]) < 300


def test_what_is_not_declared_as_json_is_refused_so_that_no_foreign_page_can_ask(classifier):
    async def talk(client, _):
        return await client.post("/predict", content='{"texts": ["a"]}', headers={"Content-Type": "text/plain"})

    found = with_service(classifier, talk)
    assert found.status_code == 415
    assert "access-control-allow-origin" not in found.headers


def test_limits_are_named_with_what_exceeded_them(classifier):
    long = " ".join(WORDS * 20)
    for body, limits, status, said in (
        ({"texts": [long]}, {}, 422, "texts[0] has 342 tokens with the special ones, and the limit is 128; shorten it"),
        ({"texts": ["a dog", "a b c d e f g"]}, {"longest": 6}, 422, "texts[1] has 9 tokens"),
        ({"texts": ["a"] * 3}, {"texts": 2}, 422, "texts has 3 entries, and the limit is 2"),
        ({"texts": ["a dog"] * 3}, {"tokens": 11}, 422, "12 tokens must be read for this, and the limit is 11"),
        ({"texts": ["a" * 200]}, {"body": 100}, 413, "and the limit is 100"),
    ):
        found = ask(reader("classification"), "/predict", body, **limits)
        assert (found.status_code, said in found.json()["error"]) == (status, True), found.text
    cut = ask(classifier, "/predict", {"texts": [long, "a"], "truncate": True})
    assert cut.json()["truncated"] == 1
    for path, body, said in (
        ("/generate", {"prompt": "a", "tokens": 60}, "tokens is 60, and the limit is 50"),
        ("/generate", {"prompt": "a" * 120, "tokens": 10}, "does not fit into the context"),
        ("/generate", {"prompt": "a", "top_p": 0}, "top_p"),
        ("/generate", {"prompt": "a", "stop": [""]}, "stop[0]"),
    ):
        found = ask(writer(context=64), path, body, new_tokens=50)
        assert (found.status_code, said in found.json()["error"]) == (422, True), found.text
    found = ask(translator(), "/translate", {"sentences": ["a"], "beams": 9})
    assert "beams is 9, and the limit is 8" in found.json()["error"]
    for texts, limits, said in (
        (["[MASK] a", "the dog"], {}, "texts[1]: there is nothing to fill in: write [MASK] where a word is missing"),
        (
            ["[MASK] a b c d"],
            {"longest": 5},
            "texts[0] has 7 tokens with the special ones, and the limit is 5; shorten it",
        ),
        (
            ["[MASK] [MASK]", "[MASK]"],
            {"pieces": 14},
            "3 masks and the best 5 pieces of each are 15 pieces, and the limit",
        ),
    ):
        found = ask(reader("masked"), "/fill", {"texts": texts}, **limits)
        assert (found.status_code, said in found.json()["error"]) == (422, True), found.text
        assert "truncate" not in found.json()["error"]  # there is no such field
    assert ask(reader("masked"), "/fill", {"texts": ["[MASK] [MASK]", "[MASK]"]}, pieces=15).status_code == 200
    assert '"truncate": true' in ask(classifier, "/predict", {"texts": [long]}).json()["error"]
    found = ask(reader("span"), "/answer", {"questions": [[" ", "a dog"]]})
    assert (found.status_code, "questions[0]" in found.json()["error"]) == (422, True)


def test_reading_many_windows_is_counted_before_it_is_done():
    body = {"questions": [["who?", "the old man " * 200]]}  # 600 tokens, in windows of 24 and more
    assert ask(reader("span"), "/answer", body, tokens=900).status_code == 200
    found = ask(reader("span", longest=24), "/answer", body, tokens=700)
    assert found.status_code == 422
    assert "tokens must be read" in found.json()["error"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.lists(st.text() | st.lists(st.text(), max_size=3), max_size=4)


@pytest.mark.parametrize("path", BODIES)
def test_no_input_makes_the_service_fail(path):
    make, good = BODIES[path]
    fields = st.sampled_from([*good, "truncate", "best", "beams", "stop", "temperature", "seed"])
    mutated = st.dictionaries(fields, json_values | texts | st.sampled_from(list(good.values())), max_size=3)

    async def talk(client, service):
        # hypothesis calls plain functions: each request is a turn of the loop in another thread
        def post(content: bytes) -> httpx.Response:
            async def send():
                return await client.post(path, content=content, headers={"Content-Type": "application/json"})

            return anyio.from_thread.run(send)

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(max_size=60) | json_values.map(written) | mutated.map(lambda more: written(good | more)))
        def check(content):
            found = post(content)
            assert found.status_code in (200, 422), (content, found.text)
            assert found.status_code == 200 or found.json()["error"]

        await anyio.to_thread.run_sync(check)
        assert service.is_ready
        assert (await client.post(path, json=good)).status_code == 200

    with_service(make(), talk, new_tokens=8, tokens=2000)


def written(value) -> bytes:
    """JSON, as far as Python writes it."""
    return json.dumps(value).encode()


def test_labels_and_limits_are_told(classifier):
    async def talk(client, _):
        return (await client.get("/about")).json()

    about = with_service(classifier, talk, texts=7)
    assert about["labels"] == list(LABELS)
    assert about["head"] == "classification"
    assert about["limits"]["texts"] == 7
    assert about["limits"]["longest"] == 128

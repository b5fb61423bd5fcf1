"""What happens to requests for which there is no room or no time, or whose client has left."""

import asyncio
import json
import threading
import time

import anyio
import pytest
from small_services import ask, endless_writer, reader, with_service

from regard.serving import guard
from regard.serving.app import application
from regard.serving.limits import Limits
from regard.serving.service import Service

BODY = {"texts": ["the red dog"]}


@pytest.fixture
def held(monkeypatch):
    """An event without which no prediction is made."""
    may_go = threading.Event()
    from regard.serving.deciding import Predicting

    compute = Predicting.compute

    def waiting(self, items, options):
        may_go.wait(20)
        return compute(self, items, options)

    monkeypatch.setattr(Predicting, "compute", waiting)
    yield may_go
    may_go.set()


async def until(is_so):
    """Wait for something."""
    with anyio.fail_after(20):
        while not is_so():
            await anyio.sleep(0.01)


def test_a_full_service_refuses_tells_when_to_come_back_and_recovers(held):
    async def talk(client, service):
        found = []

        async def one():
            found.append((await client.post("/predict", json=BODY)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
            await until(lambda: service.open == 3)
            refused = [await client.post("/predict", json=BODY) for _ in range(5)]
            assert {one.status_code for one in refused} == {503}
            assert int(refused[0].headers["Retry-After"]) >= 1
            assert "3 requests are open" in refused[0].json()["error"]
            assert (await client.get("/health")).status_code == 200
            held.set()
        assert found == [200] * 3
        assert service.open == 0
        assert (await client.post("/predict", json=BODY)).status_code == 200

    with_service(reader(), talk, requests=3, batch=1)


def test_an_answer_which_takes_too_long_is_504_and_its_work_leaves_the_queue(held):
    async def talk(client, service):
        late = [await client.post("/predict", json=BODY) for _ in range(3)]
        assert [one.status_code for one in late] == [504] * 3
        assert "0.1 s" in late[0].json()["error"]
        assert len(service.worker) == 0
        assert service.open == 0
        held.set()

    with_service(reader(), talk, threads=1, seconds=0.1)


def test_clients_with_the_largest_requests_are_answered_or_told_when_to_come_again(monkeypatch):
    """Four of 70 texts of 3 tokens, where 2 seconds are enough for two of them, and never all four are too late."""
    from regard.serving.deciding import Predicting

    model = reader()
    found = model.predict(["a"])

    def slowly(self, items, options):
        time.sleep(len(items) / 100)
        return found * len(items)

    monkeypatch.setattr(Predicting, "compute", slowly)

    async def talk(client, service):
        for _ in range(2):  # before anything is measured, and after
            answers = []

            async def one(answers=answers):
                answers.append(await client.post("/predict", json={"texts": ["a"] * 70}))

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(one)
            assert {answer.status_code for answer in answers} == {200, 503}
            for answer in answers:
                assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1
        assert "regard_queue_tokens 0" in (await client.get("/metrics")).text

    with_service(model, talk, threads=1, seconds=2.0, batch=12)


def test_the_tokens_which_wait_are_told(held):
    async def talk(client, service):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.post("/predict", json={"texts": ["the red dog"] * 4}))
            await until(lambda: service.worker.tokens == 15)
            assert "regard_queue_tokens 15" in (await client.get("/metrics")).text
            held.set()

    with_service(reader(), talk, threads=1, batch=5)


def test_a_body_which_does_not_come_is_408(held):
    async def slow():
        yield b'{"texts": '
        await anyio.sleep(60)

    async def talk(client, _):
        return await client.post("/predict", content=slow(), headers={"Content-Type": "application/json"})

    assert with_service(reader(), talk, seconds=0.1).status_code == 408


def test_a_failure_of_the_model_is_500_and_the_next_request_is_answered(monkeypatch):
    from regard.serving.deciding import Predicting

    compute = Predicting.compute

    def failing(self, items, options):
        if ("bad",) in items:
            raise RuntimeError("secret")
        return compute(self, items, options)

    monkeypatch.setattr(Predicting, "compute", failing)

    async def talk(client, _):
        bad = await client.post("/predict", json={"texts": ["bad"]})
        assert bad.status_code == 500
        assert "secret" not in bad.text
        assert (await client.post("/predict", json=BODY)).status_code == 200

    with_service(reader(), talk)


def test_a_stopping_service_refuses_and_says_that_it_is_not_ready():
    async def talk(client, service):
        service.is_stopping = True
        assert (await client.post("/predict", json=BODY)).status_code == 503
        found = await client.get("/health")
        assert (found.status_code, found.json()) == (503, {"live": True, "ready": False})

    with_service(reader(), talk)


class Connection:
    """A client which can leave in the middle: one request spoken to an ASGI application by hand."""

    def __init__(self, app, path, body):
        content = json.dumps(body).encode()
        self.app, self.told = app, [{"type": "http.request", "body": content, "more_body": False}]
        self.has_left, self.messages = asyncio.Event(), []
        headers = [(b"content-type", b"application/json")]
        self.scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        self.scope |= {"raw_path": path.encode(), "asgi": {"version": "3.0", "spec_version": "2.3"}}

    async def receive(self):
        """The body, and then nothing until the client leaves."""
        if self.told:
            return self.told.pop(0)
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        """Keep what is sent."""
        self.messages.append(message)

    async def run(self):
        """Until the application is done with it."""
        await self.app(self.scope, self.receive, self.send)


def spoken(model, path, body, talk, threads=1, **limits):
    """Talk to a service over one connection."""

    async def main():
        service = Service(model, Limits(**limits), threads)
        app = application(service)
        async with app.router.lifespan_context(app):
            connection = Connection(app, path, body)
            running = asyncio.ensure_future(connection.run())
            with anyio.fail_after(30):
                await talk(connection, service)
                await running

    asyncio.run(main())


def test_what_a_client_who_has_left_asked_for_leaves_the_queue(held):
    async def talk(connection, service):
        await until(lambda: service.open == 1)
        connection.has_left.set()
        await until(lambda: service.open == 0)
        assert service.metrics.requests[("endpoint", "/predict"), ("status", "499")] == 1
        held.set()

    spoken(reader(), "/predict", BODY, talk)


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_written_any_more_for_a_client_who_has_left(stream):
    body = {"prompt": "abc", "tokens": 8000, "stream": stream}

    async def talk(connection, service):
        await until(lambda: service.metrics.tokens["written"] > 5)
        connection.has_left.set()
        await until(lambda: service.open == 0)
        await anyio.sleep(0.1)
        written = service.metrics.tokens["written"]
        await anyio.sleep(0.2)
        assert service.metrics.tokens["written"] == written < 8000

    spoken(endless_writer(), "/generate", body, talk, new_tokens=8000)


def test_a_client_who_takes_no_answer_does_not_keep_its_place(monkeypatch):
    monkeypatch.setattr(guard, "SENDING", 0.1)

    async def talk(connection, service):
        async def blocked(_):
            await asyncio.sleep(60)

        connection.send = blocked
        await until(lambda: service.open == 1)
        await until(lambda: service.open == 0)

    body = {"prompt": "abc", "tokens": 20, "stream": True}
    spoken(endless_writer(), "/generate", body, talk, seconds=0.3)


def test_a_stream_which_takes_too_long_ends_with_an_error():
    body = {"prompt": "abc", "tokens": 8000, "stream": True}
    found = ask(endless_writer(), "/generate", body, new_tokens=8000, seconds=0.5)
    assert found.status_code == 200
    assert "0.5 s" in json.loads(found.text.splitlines()[-1])["error"]

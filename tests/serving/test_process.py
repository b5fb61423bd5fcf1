"""The command as a process: real connections, many at once, and its end."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
from small_services import endless_writer, reader, sentence, translator

COMMAND = """
import typer
from regard.cli import serve
app = typer.Typer()
app.callback()(lambda: None)
serve.register(app)
app()
"""


@contextmanager
def served(model, folder, *options):
    """The address of a service of a model, and its process, which is killed at the end if it is still there."""
    model.save(folder)
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--port", "0", "--threads", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stderr.readline()
        assert " at http://127.0.0.1:" in line, line + process.stderr.read()
        yield line.split()[-1], process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def stopped(process) -> tuple[int, str]:
    """The exit status after SIGTERM, and what was said."""
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    return process.wait(60), said


def test_64_clients_get_their_own_answers_and_the_service_stops_with_status_0(tmp_path):
    model = reader()
    texts = [sentence(n, 30) for n in range(256)]
    wanted = model.predict(texts)

    async def main(url):
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=64)) as client:
            found = [None] * len(texts)

            async def one(first):
                for n in range(first, len(texts), 64):
                    answer = await client.post("/predict", json={"texts": [texts[n]]})
                    assert answer.status_code == 200, answer.text
                    [found[n]] = answer.json()["predictions"]

            await asyncio.gather(*(one(first) for first in range(64)))
            metrics = (await client.get("/metrics")).text
        return found, metrics

    with served(model, tmp_path) as (url, process):
        found, metrics = asyncio.run(main(url))
        for one, other in zip(found, wanted, strict=True):
            assert one["label"] == other.label
            assert one["probabilities"] == pytest.approx(other.probabilities, abs=1e-5)
        assert 'regard_requests_total{endpoint="/predict",status="200"} 256' in metrics
        batches = next(line for line in metrics.splitlines() if line.startswith("regard_batch_inputs_count"))
        assert float(batches.split()[1]) < 200
        assert stopped(process) == (0, "")


def test_a_crowd_is_refused_in_part_and_the_service_goes_on(tmp_path):
    async def main(url):
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            asked = [client.post("/embed", json={"texts": [sentence(n, 60)] * 40}) for n in range(64)]
            answers = await asyncio.gather(*asked)
            health = await client.get("/health")
            after = await client.post("/embed", json={"texts": ["the dog"]})
        return [answer.status_code for answer in answers], health.status_code, after.status_code

    with served(reader(), tmp_path, "--queue", "2") as (url, process):
        statuses, *after = asyncio.run(main(url))
        assert set(statuses) == {200, 503}
        assert after == [200, 200]
        assert stopped(process) == (0, "")


def test_what_runs_at_sigterm_is_finished_and_new_requests_are_refused(tmp_path):
    async def main(url, process):
        async with (
            httpx.AsyncClient(base_url=url, timeout=60) as client,
            client.stream("POST", "/generate", json={"prompt": "abc", "tokens": 1500, "stream": True}) as answer,
        ):
            lines = answer.aiter_lines()
            told = [json.loads(await anext(lines))]
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            with pytest.raises(httpx.ConnectError):
                async with httpx.AsyncClient() as other:
                    await other.get(f"{url}/health")
            told += [json.loads(line) async for line in lines]
        return told

    with served(endless_writer(), tmp_path, "--new-tokens", "1500", "--threads", "1") as (url, process):
        told = asyncio.run(main(url, process))
        assert told[-1] == {"text": told[-1]["text"], "ended": "length", "tokens": 1500}
        assert process.wait(60) == 0


def test_a_stream_whose_client_leaves_is_not_written_on(tmp_path):
    with served(endless_writer(), tmp_path, "--new-tokens", "8000", "--timeout", "120") as (url, process):
        with httpx.stream("POST", f"{url}/generate", json={"prompt": "abc", "tokens": 8000, "stream": True}) as answer:
            next(answer.iter_lines())
            begun = time.monotonic()
            assert httpx.get(f"{url}/health").json()["ready"]  # while it writes
            assert time.monotonic() - begun < 5
        figures = {}
        deadline = time.monotonic() + 20
        while figures.get("regard_requests_open") != "0" and time.monotonic() < deadline:
            lines = httpx.get(f"{url}/metrics").text.splitlines()
            figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        assert figures["regard_requests_open"] == "0"
        assert float(figures['regard_tokens_total{kind="written"}']) < 8000
        assert stopped(process) == (0, "")


def test_refusals_leave_a_connection_usable(tmp_path):
    with served(translator(), tmp_path, "--kilobytes", "1", "--timeout", "5") as (url, process):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        headers = {"Content-Type": "application/json"}
        for body, status in (
            ('{"sentences": ["' + "a " * 3_000_000 + '"]}', 413),
            ('{"sentences": ["a"], "beams": 99}', 422),
            ('{"sentences": ["a b"], "longest": 4}', 200),
            ("no json", 422),
        ):
            connection.request("POST", "/translate", body, headers)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read()) != {}) == (status, True)
        connection.request("GET", "/nothing")
        assert connection.getresponse().status == 404
        assert stopped(process)[0] == 0


def test_noise_instead_of_http_hurts_nobody(tmp_path):
    with served(reader(), tmp_path) as (url, process):
        host, port = url.removeprefix("http://").split(":")
        for noise in (b"\x00\xff" * 100, b"GET\r\n\r\n", b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n", b""):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(noise)
        assert httpx.get(f"{url}/health").status_code == 200
        assert stopped(process)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--int8", "--bfloat16"), "give one of them"),
        (("--timeout", "0"), "seconds must be positive, got 0"),
        (("--host", "192.0.2.1"), "cannot listen at 192.0.2.1, port 0"),
    ],
)
def test_a_user_who_errs_is_told(tmp_path, options, said):
    from regard.cli.serve import serve

    reader().save(tmp_path)
    names = {"--int8": "int8", "--bfloat16": "bfloat16", "--timeout": "timeout", "--host": "host"}
    values = {"--timeout": 0.0, "--host": "192.0.2.1"}
    given = {names[option]: values.get(option, True) for option in options if option in names}
    with pytest.raises(ValueError, match=said):
        serve(str(tmp_path), port=0, **given)


def test_without_its_packages_the_command_says_what_to_install(tmp_path, monkeypatch):
    from regard.cli.serve import serve

    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ValueError, match=r"pip install 'regard\[serve\]'"):
        serve(str(tmp_path))


def test_an_address_which_others_reach_is_warned_of(tmp_path):
    reader("").save(tmp_path)
    command = [sys.executable, "-c", COMMAND, "serve", str(tmp_path), "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert "warning: 0.0.0.0 can be reached by others" in process.stderr.readline()
        assert " at http://0.0.0.0:" in process.stderr.readline()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

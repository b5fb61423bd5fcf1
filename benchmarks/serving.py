"""Serving.

Requests a second of a classifier behind HTTP: 64 connections, each of which sends one sentence of SST-2's development
set, waits for the answer and sends the next. The model is MiniLM, a BERT of 6 layers of width 384, with a head drawn at
random. `regard serve` computes requests together which wait; the peers are the same model behind a plain FastAPI
handler with a lock, one request at a time: by Transformers with one thread and with two, and by regard. All have the
same HTTP server, and share the machine with the client, which is made to cost little. That an answer is the same on all
sides is checked, and a request which fails ends the comparison.

The processor's time of a request, which depends less on what else the machine does, is told beside the table. Memory is
the largest resident set of `regard serve` after any turn, over what it was after the first.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.material import ROOT
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row

PEERS = {  # library and threads of torch
    "Transformers, one at a time, 1 thread": ("transformers", 1),
    "Transformers, one at a time, 2 threads": ("transformers", 2),
    "regard, one at a time, 1 thread": ("regard", 1),
}
TARGET, GROWTH = 4.0, 1.1
OURS = "from regard.cli.serve import serve; serve({folder!r}, port=0)"


def compare(
    *,
    seconds: float,
    folder: Path | None = None,
    sentences: Sequence[str] | None = None,
    peers: Sequence[str] = tuple(PEERS),
    connections: int = 64,
    requests: int = 256,
) -> Outcome:
    """All servers side by side, in turns.

    Args:
        folder: of the classifier; MiniLM by default.
        requests: of each turn.
    """
    sentences = sentences or sst2()
    with ExitStack() as stack:
        folder = folder or _minilm(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        ours = stack.enter_context(_served([sys.executable, "-c", OURS.format(folder=str(folder))], "stderr"))
        servers = {"regard": ours}
        for name in peers:
            library, threads = PEERS[name]
            command = [sys.executable, "-m", "benchmarks.peers.one_at_a_time", library, str(folder), str(threads)]
            servers[name] = stack.enter_context(_served(command, "stdout"))
        clients = {name: Client(server, connections, sentences) for name, server in servers.items()}
        for client in clients.values():
            _require_same(clients["regard"], client)
        workloads = [Workload(name, partial(client.run, requests)) for name, client in clients.items()]
        speeds = alternate("serving", workloads, seconds=seconds)
    rows = [Row.beside("classifier", "requests/s", speeds, name, TARGET) for name in peers]
    memory = [measured for measured, _ in clients["regard"].turns]
    rows.append(
        Row("memory, the most after any turn", "of the first", max(memory) / memory[0], target=GROWTH, at_most=True)
    )
    facts: dict[str, object] = {
        "connections": connections,
        "requests of a turn": requests,
        "errors": 0,
        "memory, MB": round(max(memory)),
    }
    for name, client in clients.items():
        cuts, spent = quantiles(client.latencies, n=100), median(spent for _, spent in client.turns)
        facts[name] = (
            f"{cuts[49] * 1000:.0f} ms until the median answer and {cuts[98] * 1000:.0f} ms until 99 % are there, "
            f"{spent / requests * 1000:.1f} ms of processor a request"
        )
    return Outcome(rows, facts)


def sst2() -> list[str]:
    """The sentences of SST-2's development set.

    Raises:
        FileNotFoundError: if it is not in the folder which REGARD_DATA names.
    """
    path = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "glue" / "SST-2" / "dev.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"no sentences at {path}; set REGARD_DATA to the folder which holds glue/")
    return [line.rpartition("\t")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def _minilm(folder: Path) -> Path:
    """MiniLM with a head for two classes, drawn at random."""
    import torch

    from regard.models.heads import Classifier
    from regard.models.saved import load_encoder
    from regard.reading.pretrained import find_model
    from regard.reading.reader import Reader
    from regard.text.tokenizer import Tokenizer

    found = find_model("minilm")
    torch.manual_seed(1)
    encoder: Any = load_encoder(found, pools=True)[0]
    model = Classifier(encoder, ("negative", "positive"))
    Reader(model.eval(), Tokenizer.load(found)).save(folder)
    return folder


@dataclass(frozen=True)
class Server:
    """A process which serves."""

    process: subprocess.Popen
    port: int

    @property
    def memory(self) -> float:
        """Its resident set, in megabytes of 10^6 bytes; of Linux."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6

    @property
    def spent(self) -> float:
        """Seconds of processor which it has used; of Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _served(command: Sequence[str], said: str) -> Iterator[Server]:
    """A server which is there, until the block ends; its port is the last number on the line which it prints."""
    pipes = {"stdout": None, "stderr": None, said: subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipes["stdout"], stderr=pipes["stderr"])
    try:
        line = getattr(process, said).readline()
        port = line.strip().rpartition(":")[2]
        if not port.isdigit():
            raise RuntimeError(f"{' '.join(command)} does not serve, it says {line!r}")
        yield Server(process, int(port))
    finally:
        process.terminate()
        process.wait(60)


@dataclass
class Client:
    """Many connections to a server, each of which asks again as soon as it has an answer.

    Raises:
        RuntimeError: if an answer is not as it should be.
    """

    server: Server
    connections: int
    sentences: Sequence[str]
    latencies: list[float] = field(default_factory=list)
    turns: list[tuple[float, float]] = field(default_factory=list)  # memory after each, and seconds of processor

    def __post_init__(self):
        self.requests = [_request(sentence) for sentence in self.sentences]

    def run(self, requests: int, part: int) -> int:
        """Send so many requests, other sentences in each part."""
        first, spent = part * requests, self.server.spent
        asyncio.run(self._run([(first + n) % len(self.requests) for n in range(requests)]))
        self.turns.append((self.server.memory, self.server.spent - spent))
        return requests

    def ask(self, sentence: str) -> dict:
        """The answer to one request."""
        found: list[bytes] = []
        asyncio.run(self._run([self.sentences.index(sentence)], found))
        return json.loads(found[0])

    async def _run(self, chosen: Sequence[int], found: list[bytes] | None = None) -> None:
        """The chosen requests, dealt out to connections as these are free."""
        loop = asyncio.get_running_loop()
        waiting = iter([self.requests[n] for n in chosen])
        done = [loop.create_future() for _ in range(min(self.connections, len(chosen)))]
        for future in done:
            connection = partial(_Asking, waiting, future, self.latencies, found)
            await loop.create_connection(connection, "127.0.0.1", self.server.port)
        await asyncio.gather(*done)


class _Asking(asyncio.Protocol):
    """One connection."""

    def __init__(
        self, waiting: Iterator[bytes], done: asyncio.Future, latencies: list[float], found: list[bytes] | None
    ):
        self.waiting, self.done, self.latencies, self.found = waiting, done, latencies, found
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        """The next request, if there is one."""
        request = next(self.waiting, None)
        if request is None:
            self.transport.close()
            self.done.set_result(None)
            return
        self.begun = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(self.received)
            return
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        if len(body) >= length:
            self.latencies.append(time.perf_counter() - self.begun)
            self.received = b""
            if self.found is not None:
                self.found.append(body)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """It must not end before all is asked."""
        self._fail(b"the connection was closed")

    def _fail(self, said: bytes) -> None:
        """End with an error."""
        if not self.done.done():
            self.done.set_exception(RuntimeError(said[:500].decode(errors="replace")))


def _request(sentence: str) -> bytes:
    """A request as it goes over the wire."""
    body = json.dumps({"texts": [sentence]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _require_same(one: Client, other: Client, count: int = 4, tolerance: float = 1e-4) -> None:
    """Refuse servers which say different things of the same sentences."""
    for sentence in one.sentences[:count]:
        ours, theirs = (client.ask(sentence)["predictions"][0]["probabilities"] for client in (one, other))
        if ours.keys() != theirs.keys() or any(abs(ours[label] - theirs[label]) > tolerance for label in ours):
            raise RuntimeError(f"not the same answer to {sentence!r}: {ours} and {theirs}")

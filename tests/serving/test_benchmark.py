"""The comparison of services at toy size: both sides must say the same, and every request must be answered."""

import socket
import sys
import threading
from pathlib import Path

import pytest
from small_services import WORDS, reader, sentence

sys.path.insert(0, str(Path(__file__).parent.parent.parent))  # benchmarks/ is no part of the installed package

from benchmarks import serving


def test_services_are_compared_side_by_side(tmp_path):
    reader().save(tmp_path)
    peer = "regard, one at a time, 1 thread"
    sentences = [sentence(n) for n in range(20)]
    found = serving.compare(seconds=0.0, folder=tmp_path, sentences=sentences, peers=(peer,), connections=4, requests=8)
    speed, memory = found.rows
    assert speed.peer == peer
    assert min(speed.regard, speed.other) > 0
    assert memory.regard >= 1.0
    assert found.facts["errors"] == 0
    assert "ms of processor a request" in found.facts["regard"]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b""])
def test_a_request_without_its_answer_ends_the_comparison(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            connection.recv(4096)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        client = serving.Client(serving.Server(None, listening.getsockname()[1]), 1, WORDS)
        with pytest.raises(RuntimeError, match=r"503|closed"):
            client.ask(WORDS[0])

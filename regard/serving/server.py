"""A service at an address, until a signal ends it."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from regard.serving.app import application
from regard.serving.service import Service

STOPPING = (signal.SIGTERM, signal.SIGINT)
CLOSING = 10.0  # seconds beyond those of a request, for what still runs when the service is to stop
# What oneDNN, and what binds it to torch, keep of products: something for each number of rows which it has met, a
# thousand of them in each thread. Batches have ever other numbers of rows, and the memory grows by hundreds of MB.
CACHES, KEPT = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"), "32"
SWITCHING = 0.0005  # seconds: how soon a thread gives way; with Python's 0.005 products wait for the event loop


class Server(uvicorn.Server):
    """uvicorn's, which tells the service first that it is to stop."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """From now on requests are refused; those which run are finished."""
        self.service.is_stopping = True
        super().handle_exit(sig, frame)


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 takes one which is free.

    Raises:
        ValueError: if it cannot be had.
    """
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=kind, backlog=2048)
    except OSError as error:
        raise ValueError(f"cannot listen at {host}, port {port}: {error.strerror}; choose others") from error


def run(service: Service, bound: socket.socket, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; what runs then is finished, and nothing new is taken.

    Args:
        service: with its model.
        bound: where it listens.
        told: is given the address as a URL.
    """
    host, port = bound.getsockname()[:2]
    told(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    config = uvicorn.Config(
        application(service),
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=round(service.limits.seconds + CLOSING),
    )
    for name in CACHES:
        os.environ.setdefault(name, KEPT)  # read at the first product
    sys.setswitchinterval(SWITCHING)
    gc.collect()
    gc.freeze()  # what is there already is not looked through again while requests wait
    before = {number: signal.signal(number, _pass) for number in STOPPING}  # uvicorn raises it again when it is done
    try:
        Server(config, service).run([bound])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass(_number: int, _frame: FrameType | None) -> None:
    """The signal was obeyed."""

"""A proxy that delays every request to a local server and passes answers on at once.

    with delayed(port, 0.020) as slow_port:     127.0.0.1:slow_port leads to 127.0.0.1:port

A reader's requests have no body, so one piece that a connection sends is one request. Answers are moved in the kernel
(splice), by a thread a connection, so that the detour itself does not show in the measurement.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"
PIECE = 1 << 20


@contextmanager
def delayed(port: int, delay_s: float) -> Iterator[int]:
    """Yield the port of the slow way; it works while the block lasts."""
    with socket.create_server((HOST, 0)) as listening:
        threading.Thread(target=_accept, args=(listening, port, delay_s), daemon=True).start()
        yield int(listening.getsockname()[1])


def _accept(listening: socket.socket, port: int, delay_s: float) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            server = socket.create_connection((HOST, port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_requests, args=(client, server, delay_s), daemon=True).start()
            threading.Thread(target=_answers, args=(server, client), daemon=True).start()


def _requests(client: socket.socket, server: socket.socket, delay_s: float) -> None:
    with suppress(OSError):
        while request := client.recv(PIECE):
            time.sleep(delay_s)
            server.sendall(request)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _answers(server: socket.socket, client: socket.socket) -> None:
    taken, given = os.pipe()
    with suppress(OSError), server, client:
        while held := os.splice(server.fileno(), given, PIECE):
            while held:
                held -= os.splice(taken, client.fileno(), held)
    os.close(taken)
    os.close(given)

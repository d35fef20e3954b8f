"""A proxy that delays every request to a local server and forwards responses at once.

    with delayed(port, 0.020) as proxy_port:     127.0.0.1:proxy_port forwards to 127.0.0.1:port

A reader's requests have no body, so each chunk received from a connection is one request. Each connection has a thread
that moves responses inside the kernel (splice), so that the cost of the proxy itself is negligible.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"
CHUNK = 1 << 20


@contextmanager
def delayed(port: int, delay_s: float) -> Iterator[int]:
    """Yield the proxy's port; the proxy runs until the block ends."""
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
        while request := client.recv(CHUNK):
            time.sleep(delay_s)
            server.sendall(request)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _answers(server: socket.socket, client: socket.socket) -> None:
    taken, given = os.pipe()
    with suppress(OSError), server, client:
        while held := os.splice(server.fileno(), given, CHUNK):
            while held:
                held -= os.splice(taken, client.fileno(), held)
    os.close(taken)
    os.close(given)

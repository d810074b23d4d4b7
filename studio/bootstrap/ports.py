"""A port for the page: the wanted one, or the next free one after it."""

from __future__ import annotations

import socket

from studio.errors import SetupError

PORTS_TRIED = 100
HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen there right now."""
    return _bound_port(port, host) is not None


def _bound_port(port: int, host: str) -> int | None:
    """The port that was bound and given back (for 0, the one the system chose), or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            # Windows would otherwise let two programs share one port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # As servers do: a port whose last connections are still closing counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1)
        except OSError:
            return None
        return int(listener.getsockname()[1])


def next_free_port(wanted: int, host: str = HOST) -> tuple[int, str]:
    """The port to use, and a sentence if it is not the wanted one. SetupError if none is free.

    0 wants any port.
    """
    if wanted == 0:
        return _bound_port(0, host) or 0, ""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        if is_free(port, host):
            moved = f"Port {wanted} is taken; the page uses port {port}." if port != wanted else ""
            return port, moved
    raise SetupError(
        f"No free port between {wanted} and {min(wanted + PORTS_TRIED, 65536) - 1}.",
        "Give another one, such as --port 9000.",
    )

"""Ports, with real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from studio.bootstrap.ports import HOST, is_free, next_free_port
from studio.errors import SetupError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((HOST, 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_a_free_port_is_taken_as_asked_and_nothing_is_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
    assert next_free_port(port) == (port, "")


def test_a_taken_port_moves_to_a_later_one_and_says_so(taken: int) -> None:
    assert not is_free(taken)
    port, sentence = next_free_port(taken)
    assert port > taken and is_free(port)
    assert sentence == f"Port {taken} is taken; the page uses port {port}."


def test_no_free_port_up_to_the_last_one_is_an_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((HOST, 65535))
            listener.listen(1)
        except OSError:
            pass  # somebody else holds it, which is as good
        with pytest.raises(SetupError, match="No free port between 65535 and 65535"):
            next_free_port(65535)

"""Pieces of answers on their way from the computing thread to the request that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.serve.row import Piece, Row

if TYPE_CHECKING:
    from starlette.requests import Request

LOOK_SECONDS = 0.2


class ClientGone(Exception):
    """Nobody reads the reply any more. Never leaves the endpoint."""


class Inbox:
    """Made on the server's event loop, filled from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()
        self._rows: list[Row] = []
        self._open = 0

    def expect(self, rows: list[Row]) -> None:
        """Whose pieces come here."""
        self._rows = rows
        self._open = len(rows)

    def deliver(self, index: int) -> Callable[[Piece], None]:
        """What the row of that index calls."""
        def put(piece: Piece) -> None:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, (index, piece))
        return put

    @property
    def is_complete(self) -> bool:
        """Whether every row's last piece was taken."""
        return self._open == 0

    async def next(self) -> tuple[int, Piece]:
        """The row's index and what it grew by."""
        index, piece = await self._pieces.get()
        self._open -= piece.is_last
        return index, piece

    async def next_while_connected(self, request: Request) -> tuple[int, Piece]:
        """The same before a reply has begun. Raises ClientGone when nobody waits for it."""
        while True:
            try:
                return await asyncio.wait_for(self.next(), LOOK_SECONDS)
            except TimeoutError:
                if await request.is_disconnected():
                    raise ClientGone from None

    def abandon(self) -> None:
        """Stop computing what is not complete."""
        for row in self._rows:
            row.abandon()

"""How many questions an endpoint has answered so far. Sees requests and not what is in them."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIRST_REFUSAL = 400


class RequestCount:
    """Counts POST requests; read from any thread.

    `answered` were answered whole, `unanswered` were refused, failed, or broken off by who asked.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.unanswered = 0
        self.at_work = 0

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app`, its requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            told = {"status": FIRST_REFUSAL, "whole": False}

            async def look(message: Message) -> None:
                if message["type"] == "http.response.start":
                    told["status"] = message["status"]
                elif message["type"] == "http.response.body":
                    told["whole"] = not message.get("more_body", False)
                await send(message)

            self.at_work += 1
            try:
                await app(scope, receive, look)
            finally:
                is_answer = told["whole"] and told["status"] < FIRST_REFUSAL
                self.answered += is_answer
                self.unanswered += not is_answer
                self.at_work -= 1  # last: whoever looks in between misses no request

        return counted

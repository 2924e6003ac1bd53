"""An endpoint that speaks OpenAI's chat completions, as badly as a test wants it to.

A real HTTP server on loopback for a real client: what goes wrong is what goes wrong on the wire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

__all__ = ["Answer", "Endpoint", "endpoint"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Says how one request is answered.

    ``fine`` says `text`; ``cut`` says it and drops the connection without an end; ``busy`` is a 429,
    which tells when to come back if `retry_after_s` says so; ``silent`` takes the request and never
    answers; ``code_places`` says `text` and nothing more, and does not end; ``endless`` says it again and again, as
    fast as it is read; ``garbage`` is no JSON; ``deltas`` sends these deltas of the protocol as they are.
    """

    kind: Literal["fine", "cut", "busy", "silent", "stuck", "garbage", "deltas", "endless"]
    text: str = ""
    retry_after_s: int | None = None
    deltas: Sequence[dict[str, Any]] = ()
    finish: str = "stop"


class Endpoint:
    """Gives `answers` in order. The last one answers every further request."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        """The requests, parsed."""
        self.given_up: list[int] = []
        """The requests, from 1, whose client has closed the connection before the answer was over."""
        self._closing = asyncio.Event()

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        number = len(self.asked)
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            if not self._closing.is_set():
                self.given_up.append(number)
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer.kind == "busy":
            body = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}}
            headers = {} if answer.retry_after_s is None else {"Retry-After": str(answer.retry_after_s)}
            return web.json_response(body, status=429, headers=headers)
        if answer.kind == "silent":
            await self._closing.wait()
            raise web.HTTPServiceUnavailable
        if not self.asked[-1].get("stream"):
            return web.json_response(_whole(answer.text))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if answer.kind == "garbage":
            await response.write(b"data: {this is no JSON\n\n")
            return response
        for delta in answer.deltas:
            await response.write(_chunk(delta))
        for i, word in enumerate(answer.text.split(" ") if answer.text else ()):
            await response.write(_chunk({"content": word if i == 0 else f" {word}"}))
        while answer.kind == "endless" and not self._closing.is_set():
            await response.write(_chunk({"content": f" {answer.text}"}))
        if answer.kind == "stuck":
            await self._closing.wait()
            return response
        if answer.kind == "cut":
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(_chunk({}, finish=answer.finish))
        await response.write(b"data: [DONE]\n\n")
        return response

    def close(self) -> None:
        self._closing.set()


def _whole(text: str) -> dict[str, Any]:
    """Return a completion that is no stream, of 40 tokens for as many as it has words."""
    message = {"role": "assistant", "content": text}
    written = len(text.split())
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": written, "total_tokens": 40 + written},
    }


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    body = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "test",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


@asynccontextmanager
async def endpoint(*answers: Answer) -> AsyncIterator[Endpoint]:
    """Run an endpoint on a free port of loopback; its `url` is what a client wants as ``base_url``."""
    served = Endpoint(answers)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", served.completions)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield served
    finally:
        served.close()
        await runner.cleanup()

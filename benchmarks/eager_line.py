"""What answers begun ahead win on a real line: `piopiy call` against `piopiy dev`, with a slow model.

    python benchmarks/eager_line.py --calls 8

`piopiy dev` runs the gateway and an agent with the offline ears and voice; this process is the model, which
speaks OpenAI's chat completions and takes `--model-ms` to its first word. Calls with and without answers ahead take
turns, so that both meet the same machine. Each speaks three recorded turns. The latencies are those that the caller
has heard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from aiohttp import web

from benchmarks.child_process import Failed, Program, program

ROOT = Path(__file__).parents[1]
WAVS = [
    ROOT / "tests" / "audio" / "booking" / name for name in ("01-people.wav", "02-when.wav", "03-yes.wav")
]
ANSWER = "Certainly, I have noted that for you. What else can I do?"
WORD_S = 1 / 15
START_S = 120.0
CALL_S = 120.0


class SlowModel:
    """An endpoint of chat completions that streams the same answer to every question."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self.requests = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests += 1
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self._first_s)
        for number, word in enumerate(ANSWER.split(" ")):
            await response.write(_chunk({"content": word if number == 0 else f" {word}"}))
            await asyncio.sleep(WORD_S)
        await response.write(_chunk({}, finish="stop") + b"data: [DONE]\n\n")
        return response


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "slow", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


async def measure(calls: int, model_ms: float) -> dict[bool, dict[str, Any]]:
    """Make the calls.

    Returns:
        By whether answers were begun ahead: the latencies in ms, and the requests.
    """
    model = SlowModel(model_ms / 1000)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found: dict[bool, dict[str, Any]] = {eager: {"ms": [], "requests": 0} for eager in (False, True)}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "LLM_BASE_URL": f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
            "LLM_MODEL": "slow",
            "PIOPIY_CREDENTIALS": f"{folder}/credentials",
            "XDG_DATA_HOME": f"{folder}/data",
        }
        bot = (
            "dev",
            str(Path(__file__).with_name("eager_agent.py")),
            "--llm",
            "openai",
            "--port",
            "0",
            "--no-record",
        )
        try:
            async with program(*_piopiy(*bot), environment=environment, pipes=True) as dev:
                async with asyncio.timeout(START_S):
                    url = await _address(dev)
                for number in range(2 * calls):
                    eager, before = number % 2 == 1, model.requests
                    found[eager]["ms"] += await _call(url, environment, eager=eager)
                    found[eager]["requests"] += model.requests - before
        finally:
            await runner.cleanup()
    return found


def _piopiy(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "piopiy_pipeline.cli", *arguments)


async def _address(dev: Program) -> str:
    """Return the gateway's address, when the bot takes calls. Raises `Failed`."""
    console = ""
    while True:
        words = (await dev.line("that it is ready", START_S)).decode().split()
        if words[:1] == ["console"]:
            console = words[1]
        if words[:1] == ["ready"]:
            return console.replace("http", "ws", 1).rstrip("/")


async def _call(url: str, environment: dict[str, str], *, eager: bool) -> list[int]:
    """Make one call, and return the latency of each answer in ms. Raises `Failed`."""
    options = ("--url", url, "--json", "--hangup-after", "4", "--metadata", json.dumps({"eager": eager}))
    wavs = map(str, WAVS)
    calling = await asyncio.create_subprocess_exec(
        *_piopiy("call", *wavs, *options, "--agent", "eager_agent"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CALL_S):
            out, error = await calling.communicate()
    finally:
        if calling.returncode is None:
            calling.kill()
            await calling.wait()
    if calling.returncode:
        raise Failed(f"a call failed: {error.decode()[-2000:]}")
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return [
        line["voice_to_voice_ms"]
        for line in lines
        if line.get("event") == "turn" and line["voice_to_voice_ms"]
    ]


def main() -> None:
    """Make the calls and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=8, help="calls of each kind")
    parser.add_argument("--model-ms", type=float, default=700)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.calls, options.model_ms))
    figures = {
        str(eager): {
            "answers": len(one["ms"]),
            "median_ms": round(median(one["ms"])),
            "p90_ms": round(quantiles(one["ms"], n=10)[8]),
            "requests": one["requests"],
        }
        for eager, one in found.items()
    }
    if options.json:
        print(json.dumps(figures))
        return
    for eager, one in figures.items():
        print(f"eager={eager:5}", "  ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()

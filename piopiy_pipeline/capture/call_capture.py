"""`CallCapture`: captures one call in a file that `replay` reads, in a live agent or in the harness.

    capture = CallCapture(path, info)
    session = Session(info, capture.wrap(link), post=post, pipeline_hook=capture.adapt)
    capture.follow(session.call)
    await session.run(callback)
    await capture.close()

It listens in three places: at the media link (`capture_link`: audio both ways, with its times), at the
stages that ask network providers (`provider_taps`), and to the events of the call, here. All of them write
into one `CaptureLog`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallEnd, CallInfo, ToolUse, Turn
from piopiy_pipeline.capture.capture_link import CaptureLink
from piopiy_pipeline.capture.capture_log import CaptureLog, utc_now
from piopiy_pipeline.capture.content import jsonable
from piopiy_pipeline.capture.format import CapturedCallInfo, Meta
from piopiy_pipeline.capture.provider_taps import tap_providers
from piopiy_pipeline.capture.redaction import Redaction
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of_environment
from piopiy_pipeline.capture.writer import CaptureWriter, file_for
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["CallCapture"]


class CallCapture:
    """Captures one call. Make it inside the running loop of the call.

    Args:
        path: The file, if it ends in ``.zip``; else the folder in which one is made for the call.
        info: Who calls whom.
        redact: Changes texts and audio before they are written.
        secrets: Values that must not be written, besides those found in the environment and the services.
        resumed: The conversation that the call goes on with, if another instance of the agent was lost.
    """

    def __init__(
        self,
        path: Path,
        info: CallInfo,
        *,
        redact: Redaction | None = None,
        secrets: Iterable[str] = (),
        resumed: dict[str, Any] | None = None,
    ) -> None:
        started = utc_now()
        self._scrubber = Scrubber({*secrets_of_environment(), *secrets})
        self.path = file_for(path, info.call_id, started)
        """Where the file will be."""
        meta = Meta(
            started_at=started,
            call=CapturedCallInfo(**asdict(replace(info, metadata=jsonable(info.metadata)))),
            caller_rate=16000,
            bot_rate=16000,
            software=_software(),
            resumed=jsonable(resumed),
        )
        self._log = CaptureLog(CaptureWriter(self.path, redaction=redact, scrubber=self._scrubber), meta)

    def wrap(self, link: MediaLink) -> MediaLink:
        """Return a link that passes everything on to `link` and back, and notes it."""
        self._log.set_rates(caller_rate=link.caller_rate, bot_rate=link.bot_rate)
        return CaptureLink(link, self._log)

    def adapt(self, chain: CallPipeline) -> None:
        """Note the exchanges with the network providers in `chain`, which is about to run."""
        self._log.set_stages(tap_providers(chain, self._log, self._scrubber))

    def follow(self, call: Call) -> None:
        """Note the events of `call`."""
        call.on("user_turn", self._turn)
        call.on("bot_turn", self._turn)
        call.on("backchannel", lambda turn: self._log.event("backchannel", {"text": turn.text}))
        call.on("tool", self._tool)
        call.on("error", self._error)
        call.on("end", self._ended)

    async def close(self) -> Path | None:
        """Write the rest and make one file of all parts, when the call is over.

        Bounded in time; may be called again.

        Returns:
            The path of the file, or None when the capture has failed.
        """
        written = await self._log.close()
        if written is not None:
            logger.info("recorded: {}", written)
        return written

    # ------------------------------------------------------------------ events of the call

    def _turn(self, turn: Turn) -> None:
        data: dict[str, Any] = {"text": turn.text}
        if turn.role == "bot":
            data["interrupted"] = turn.interrupted
        self._log.event(f"{turn.role}_turn", data)

    def _tool(self, use: ToolUse) -> None:
        data = {"number": use.number, "name": use.name, "arguments": jsonable(use.arguments)}
        if use.returned:
            self._log.event("tool_result", {**data, "result": jsonable(use.result)})
        else:
            self._log.event("tool", data)

    def _error(self, error: CallError) -> None:
        self._log.event("error", {"stage": error.stage, "message": error.message})

    def _ended(self, end: CallEnd) -> None:
        data = {"reason": end.reason.value, "detail": end.detail, "duration_s": end.duration_s}
        self._log.event("end", data)


def _software() -> dict[str, str]:
    found = {}
    for name in ("piopiy-pipeline", "pipecat-ai"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout that was never installed
            continue
    return found

"""A leg process whose legs say again what they hear: ``python -m tests.gateway.leg_processes.echo_program``."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, Literal

from piopiy_pipeline.gateway.leg_processes.leg_program import LegProgram, run_leg_process
from piopiy_pipeline.gateway.leg_processes.shared_messages import (
    Census,
    CensusTaken,
    ProcessPing,
    ProcessPong,
    Ready,
    message_parser,
)
from piopiy_pipeline.signaling.messages import Message
from piopiy_pipeline.worker_process import leave_signals_to_parent


class Begin(Message):
    """The first message, and what begins a leg. The answer is the same."""

    event: Literal["begin"] = "begin"


class Finish(Message):
    """The leg is over. The answer is the same."""

    event: Literal["finish"] = "finish"


parse_to = message_parser("to an echo", Begin, Finish, Census, ProcessPing)
parse_from = message_parser("of an echo", Begin, Finish, CensusTaken, ProcessPong, Ready)


class EchoProgram(LegProgram):
    def __init__(self) -> None:
        super().__init__(parse_to)
        self._legs: set[int] = set()

    def send_audio(self, number: int, pcm: bytes) -> None:
        self.pipe.send_audio(number, pcm)

    def take(self, number: int, message: Message) -> None:
        if number and isinstance(message, Begin):
            self._legs.add(number)
            self.pipe.send_event(number, message)
        elif number:
            self._legs.discard(number)
            self.pipe.send_event(number, message)

    def fail(self, number: int) -> None:
        self._legs.discard(number)

    def census(self) -> CensusTaken:
        return CensusTaken(legs=len(self._legs), connections=0)

    def close_legs(self) -> Iterable[Coroutine[Any, Any, None]]:
        return []


if __name__ == "__main__":
    leave_signals_to_parent()
    run_leg_process(EchoProgram)

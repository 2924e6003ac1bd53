"""What a facade over a call has of `Call` under the same names, so that an author need not look for the call.

`VoiceAgent` is made of it. It has no logic: each of these is a line that calls the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from piopiy_pipeline.call import Turn
from piopiy_pipeline.session.call import Call
from piopiy_pipeline.session.call_control import TransferOutcome
from piopiy_pipeline.session.events import Handler
from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer

__all__ = ["CallFacade"]


class CallFacade:
    """Passes on what an author does with a call.

    Args:
        call: The call.
    """

    def __init__(self, call: Call) -> None:
        self.call = call

    async def say(self, text: str, *, interruptible: bool = True) -> bool:
        """Say `text` now, and return whether it was heard in full. See `Call.say`."""
        return await self.call.say(text, interruptible=interruptible)

    def expect(self, answer: ExpectedAnswer | str) -> None:
        """Tell what the caller's next answer is made of, such as ``"digits:6"``. See `Call.expect`."""
        self.call.expect(answer)

    async def hangup(self, *, drain_s: float = 5, final: bool = True) -> None:
        """End the call when the caller has heard what the bot is saying. See `Call.hangup`."""
        await self.call.hangup(drain_s=drain_s, final=final)

    async def transfer(
        self, to: str, *, warm: bool = True, summary: str = "", ring_timeout_s: float = 30
    ) -> TransferOutcome:
        """Hand the caller over to somebody else, and wait for the outcome. See `Call.transfer`."""
        return await self.call.transfer(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)

    async def hand_over(self, to: Persona | None, *, context: HandOffContext = "keep") -> None:
        """Hand the call over to another persona of the bot. See `Call.hand_over`."""
        await self.call.hand_over(to, context=context)

    def hold(self, on: bool = True) -> None:
        """Put the caller on hold, or take them off it. See `Call.hold`."""
        self.call.hold(on)

    def mute(self, on: bool = True) -> None:
        """Stop hearing the caller, or hear them again. See `Call.mute`."""
        self.call.mute(on)

    def start_recording(self) -> None:
        """Have the gateway record the call. See `Call.start_recording`."""
        self.call.start_recording()

    def stop_recording(self) -> None:
        """End the gateway's recording. See `Call.stop_recording`."""
        self.call.stop_recording()

    def clean_sound(self, on: bool = True) -> None:
        """Have noise and the bot's echo taken out of what the caller says. See `Call.clean_sound`."""
        self.call.clean_sound(on)

    async def send_dtmf(self, digits: str, *, at_once: bool = False) -> None:
        """Press telephone keys, as `Call.send_dtmf` does."""
        await self.call.send_dtmf(digits, at_once=at_once)

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` at each `event`. See `Call.on`."""
        return self.call.on(event, handler)

    @property
    def transcript(self) -> Sequence[Turn]:
        """What both sides have said so far, as in `Call.transcript`."""
        return self.call.transcript

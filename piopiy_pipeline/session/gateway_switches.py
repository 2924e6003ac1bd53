"""What the gateway does for a bot when a switch is set: hold, mute, record, clean the caller's sound.

`Call` is made of it: each of these is one message to the gateway, and nothing waits for an answer.
"""

from __future__ import annotations

from piopiy_pipeline.arguments import check_switches
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.signaling.messages import Switchable

__all__ = ["GatewaySwitches"]


class GatewaySwitches:
    """Sets switches of one call at the gateway.

    Args:
        state: The call.
    """

    def __init__(self, state: CallState) -> None:
        self._state = state

    def hold(self, on: bool = True) -> None:
        """Put the caller on hold, or take them off it. Returns at once.

        On hold, neither side hears the other, the caller hears the gateway's hold sound, and what the bot
        says waits.

        Raises:
            RuntimeError: The call is not answered yet.
        """
        check_switches(on=on)
        self._switch("hold", on)

    def mute(self, on: bool = True) -> None:
        """Stop hearing the caller, or hear them again. The caller goes on hearing the bot.

        Raises:
            RuntimeError: The call is not answered yet.
        """
        check_switches(on=on)
        self._switch("mute", on)

    def start_recording(self) -> None:
        """Have the gateway record the call to its disk from now on, if it is configured to keep recordings.

        Raises:
            RuntimeError: The call is not answered yet.
        """
        self._switch("record", True)

    def stop_recording(self) -> None:
        """End the gateway's recording of the call.

        Raises:
            RuntimeError: The call is not answered yet.
        """
        self._switch("record", False)

    def clean_sound(self, on: bool = True) -> None:
        """Have the gateway take noise and the bot's echo out of what the caller says, if it has the extra `clean`.

        Before the call is answered, it is asked for when it is.

        Raises:
            TypeError: `on` is neither True nor False.
        """
        check_switches(on=on)
        if self._state.answered_at is None:
            self._state.clean_sound = on
        else:
            self._switch("clean_sound", on)

    def _switch(self, what: Switchable, on: bool) -> None:
        self._state.require_answered()
        if not self._state.ended:
            self._state.control.switch(what, on)

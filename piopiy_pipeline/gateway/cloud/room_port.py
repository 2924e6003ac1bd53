"""What the leg of a call has of its room, wherever that is: the words for both directions."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CloudRoomError", "CloudRoomListener", "RoomPort"]


class CloudRoomError(Exception):
    """The room cannot be joined. The text says why."""


class CloudRoomListener(Protocol):
    """Receives what happens in a room, on the event loop. Sound is PCM16 little-endian mono at the room's rate."""

    def room_caller(self) -> None:
        """Handle that the caller is there: they hear and are heard from now on.

        Called once, and once more after each `room_lost`.
        """

    def room_audio(self, pcm: bytes) -> None:
        """Take 20 ms of what the caller said."""

    def room_keys(self, digits: str) -> None:
        """Take telephone keys that the caller pressed."""

    def room_message(self, topic: str, data: bytes) -> None:
        """Take a message that the cloud sent into the room."""

    def room_lost(self) -> None:
        """Handle that the caller hears nothing for a moment: the room is being joined again, from another process."""

    def room_left(self, detail: str) -> None:
        """Handle that the caller has left, or that the room is gone. Called once."""

    def room_failed(self, detail: str) -> None:
        """Handle that this room cannot be served any more, for a reason on the gateway's side. Called once."""


class RoomPort(Protocol):
    """A room with the bot in it. `join` it, and `leave` it in any case."""

    @property
    def dropped(self) -> int:
        """How many frames of the bot's were dropped, because they were not taken in time on the way to the room."""

    @property
    def identity(self) -> str:
        """Who the bot is in the room."""

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        """Join, and publish the bot's track.

        Args:
            url: The address of LiveKit's server.
            token: The access token for this room.
            timeout_s: How long it may take, in seconds.

        Raises:
            CloudRoomError: It could not be joined in time, or at all.
        """

    def send_audio(self, pcm: bytes) -> None:
        """Say 20 ms after what waits."""

    def clear(self) -> None:
        """Drop what waits for LiveKit's client. What that has is heard: it has left the playout, and is short."""

    def press(self, digits: str) -> None:
        """Press telephone keys towards the caller."""

    async def finish_speech(self) -> None:
        """Wait until the last of the bot's speech has left for the room, for a moment at most."""

    async def leave(self) -> None:
        """Leave, at once. Takes a bounded time, and may be called twice."""

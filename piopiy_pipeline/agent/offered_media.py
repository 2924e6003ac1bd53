"""Opens the media stream of an offer, at the rates that fit its caller."""

from __future__ import annotations

from piopiy_pipeline.signaling.messages import Offer
from piopiy_pipeline.transports.link import WebSocketLink

__all__ = ["open_media"]


async def open_media(url: str, offer: Offer) -> WebSocketLink:
    """Open the media stream within the offer's deadline.

    Args:
        url: The address of the stream.
        offer: The offer.

    Raises:
        OSError: The stream did not open.
        TimeoutError: It did not open in time.
        WebSocketException: The gateway refused it.
    """
    return await WebSocketLink.open(
        url,
        offer.media_token,
        caller_rate=8000 if offer.caller_rate <= 8000 else 16000,
        bot_rate=max(rate for rate in (8000, 16000, 24000) if rate <= max(offer.caller_rate, 8000)),
        timeout_s=offer.deadline_ms / 1000,
    )

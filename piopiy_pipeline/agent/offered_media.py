"""Opens the media stream of an offer, at the rates that fit its caller."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger
from websockets.exceptions import WebSocketException

from piopiy_pipeline.signaling.messages import Offer, Reject
from piopiy_pipeline.transports.link import WebSocketLink

__all__ = ["open_media"]


async def open_media(url: str, offer: Offer, *, reject: Callable[[Reject], None]) -> WebSocketLink | None:
    """Open the media stream within the offer's deadline.

    Args:
        url: The address of the stream.
        offer: The offer.
        reject: Sends the gateway why the offer is not taken.

    Returns:
        None if the stream did not open, which the gateway was told.
    """
    try:
        return await WebSocketLink.open(
            url,
            offer.media_token,
            caller_rate=8000 if offer.caller_rate <= 8000 else 16000,
            bot_rate=max(rate for rate in (8000, 16000, 24000) if rate <= max(offer.caller_rate, 8000)),
            timeout_s=offer.deadline_ms / 1000,
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        log = logger.bind(call_id=offer.call_id)
        log.warning("the media stream of a call did not open: {}", error or "timeout")
        detail = f"media stream: {error or 'timeout'}"[:200]
        reject(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason="error", detail=detail))
        return None

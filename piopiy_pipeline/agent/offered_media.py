"""Opens the media stream of an offer, at the rates that fit its caller."""

from __future__ import annotations

from collections.abc import Callable
from http.client import UNAUTHORIZED

from loguru import logger
from websockets.exceptions import InvalidStatus, WebSocketException

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.signaling.messages import Offer, Reject
from piopiy_pipeline.transports.link import WebSocketLink

__all__ = ["open_media"]


async def open_media(
    gateway: GatewayAddress, offer: Offer, *, reject: Callable[[Reject], None]
) -> WebSocketLink | None:
    """Open the media stream within the offer's deadline.

    Args:
        gateway: The gateway that has made the offer: no other one knows of it, although it may have the same name.
        offer: The offer.
        reject: Sends the gateway why the offer is not taken.

    Returns:
        None if the stream did not open, which the gateway was told.
    """
    try:
        return await WebSocketLink.open(
            f"{gateway.url}{offer.media_path}",
            offer.media_token,
            caller_rate=8000 if offer.caller_rate <= 8000 else 16000,
            bot_rate=max(rate for rate in (8000, 16000, 24000) if rate <= max(offer.caller_rate, 8000)),
            timeout_s=offer.deadline_ms / 1000,
            host=gateway.host,
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        log = logger.bind(call_id=offer.call_id)
        if isinstance(error, InvalidStatus) and error.response.status_code == UNAUTHORIZED:
            why = (
                "the offer had become void: its caller has hung up, or another instance has the call; or a load"
                " balancer has led its media stream to another gateway"
            )
            log.info("the call was not taken, because {}", why)
        else:
            why = own_text(error)
            log.warning("the media stream of a call did not open: {}", why)
        detail = f"media stream: {why}"[:200]
        reject(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason="error", detail=detail))
        return None

"""`CloudActions`: what is asked of Piopiy's cloud about a call in progress, by its REST API: transfers, and the end.

The client is piopiy-agent's `PiopiyCallControl`. What became of a transfer comes as a message in the room; the API is
asked as well, in case it does not come.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp
from loguru import logger
from piopiy_agent import PiopiyAPIError, PiopiyCallControl, TransferStatus, parse_transfer_status

from piopiy_pipeline.call import EndReason, TransferOutcomeName
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.core.leg import TransferDone
from piopiy_pipeline.signaling.messages import Transfer

__all__ = ["CloudActions"]

HANG_UP_S = 3.0
"""How long the cloud may take to hang up, in seconds. The call is over here in any case."""
POLL_S = 2.0
LATE_S = 10.0
"""So long behind its ring timeout the cloud may still say what became of a transfer, in seconds. The gateway gives the
transfer up sooner."""
STATUS_TOPIC = "transfer_status"
NUMBER = re.compile(r"\+?[0-9]{3,20}")
_SEPARATORS = str.maketrans("", "", " ()-./")
_OUTCOMES: dict[str | None, TransferOutcomeName] = {
    "busy": "busy",
    "no_answer": "no_answer",
    "rejected": "declined",
    "invalid_number": "unreachable",
    "unreachable": "unreachable",
    "call_barred": "refused",
    "network_error": "unreachable",
}


class CloudActions:
    """The actions of one call.

    Args:
        call_uuid: The call, as the cloud knows it.
        token: The agent's token.
        api_url: The REST API.
    """

    def __init__(self, call_uuid: str, *, token: str, api_url: str) -> None:
        self._control = PiopiyCallControl(call_uuid, token=token, api_url=api_url)
        self._transfers: set[asyncio.Task[None]] = set()  # the current one, and those that end just now
        self._settled: asyncio.Future[TransferStatus] | None = None
        self._request_id = ""
        self._caller_id: str | None = None
        self._sip_headers: dict[str, str] | None = None

    def transfer(
        self,
        request: Transfer,
        done: TransferDone,
        *,
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a transfer. One at a time: an earlier one that the cloud has not settled is not asked about any more.

        Args:
            request: Whom to hand the caller to.
            done: Called once with what became of it, unless the call ends or another transfer begins before.
            from_number: The number that whoever is called sees, one of the account's. None: as the cloud does it.
            headers: SIP headers, which the cloud sends to SIP URIs only.
        """
        self._caller_id = from_number.translate(_SEPARATORS).lstrip("+") if from_number else None
        self._sip_headers = dict(headers) if headers else None
        self._request_id = ""  # the earlier one's messages may still come
        self._settled = asyncio.get_running_loop().create_future()
        for earlier in self._transfers:
            earlier.cancel()
        task = asyncio.create_task(self._run(request, self._settled, done), name="cloud transfer")
        self._transfers.add(task)
        task.add_done_callback(self._transfers.discard)

    def room_message(self, topic: str, data: bytes) -> None:
        """Take a message of the cloud in the room."""
        if topic != STATUS_TOPIC or (status := parse_transfer_status(data)) is None:
            return
        ours = status.request_id in ("", self._request_id)
        if status.settled and ours and self._settled is not None and not self._settled.done():
            self._settled.set_result(status)

    async def hang_up(self, reason: EndReason, detail: str) -> None:
        """Have the cloud hang up. What it answers is logged, and changes nothing."""
        try:
            async with asyncio.timeout(HANG_UP_S):
                await self._control.hangup(reason=(detail or reason.value)[:200])
        except PiopiyAPIError as error:
            if error.status != 404:  # the call has ended there already
                logger.warning("Piopiy's cloud did not hang up: {}", error)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            logger.warning("Piopiy's cloud could not be told to hang up: {}", own_text(error, "no answer"))

    async def close(self) -> None:
        """End what is under way."""
        transfers = [*self._transfers]
        for transfer in transfers:
            transfer.cancel()
        await asyncio.gather(*transfers, return_exceptions=True)
        await self._control.close()

    async def _run(
        self, request: Transfer, settled: asyncio.Future[TransferStatus], done: TransferDone
    ) -> None:
        outcome, detail = await self._outcome(request, settled)
        done(outcome, detail, asyncio.get_running_loop().time())

    async def _outcome(
        self, request: Transfer, settled: asyncio.Future[TransferStatus]
    ) -> tuple[TransferOutcomeName, str]:
        try:
            asked = await self._ask(request)
            self._request_id = asked
            if not request.warm:
                return "bridged", ""  # the cloud hands the caller over at once
            rings_s = request.ring_timeout_s
            try:
                async with asyncio.timeout(rings_s + LATE_S) as waiting:
                    status = await self._wait(asked, settled)
            except TimeoutError:
                if not waiting.expired():
                    raise
                return "no_answer", f"Piopiy's cloud has not said within {rings_s:g} s what became of it"
        except ValueError as error:
            return "unreachable", str(error)
        except PiopiyAPIError as error:
            under_way = error.error == "transfer_in_progress"
            return "refused" if under_way or error.status == 403 else "failed", f"Piopiy's cloud: {error}"
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            return "failed", f"Piopiy's cloud was not reached: {own_text(error, 'no answer')}"
        if status.status == "completed":
            return "bridged", ""
        return _OUTCOMES.get(status.reason, "failed"), f"Piopiy's cloud: {status.reason or status.status}"

    async def _ask(self, request: Transfer) -> str:
        """Ask for the transfer. Returns its id there. Raises `ValueError` if the destination is none for the cloud."""
        number = request.to.translate(_SEPARATORS)
        is_sip = request.to.startswith(("sip:", "sips:"))
        if not is_sip and not NUMBER.fullmatch(number):
            raise ValueError(f"Piopiy's cloud calls numbers and SIP URIs, and {request.to!r} is neither")
        if request.warm:
            result = await self._control.warm_transfer(
                to_number=None if is_sip else number.lstrip("+"),
                sip_uri=request.to if is_sip else None,
                timeout_sec=max(1, round(request.ring_timeout_s)),
                transfer_summary=request.summary or None,
                caller_id=self._caller_id,
                sip_headers=self._sip_headers if is_sip else None,
            )
        elif is_sip:
            raise ValueError("Piopiy's cloud hands callers over to numbers; a SIP URI needs warm=True")
        else:
            result = await self._control.blind_transfer(
                to_number=number.lstrip("+"), caller_id=self._caller_id
            )
        return str(result.request_id)

    async def _wait(self, request_id: str, settled: asyncio.Future[TransferStatus]) -> TransferStatus:
        while True:
            await asyncio.wait((settled,), timeout=POLL_S)
            if settled.done():
                return settled.result()
            status: TransferStatus = await self._control.transfer_status(request_id)
            if status.settled:
                return status

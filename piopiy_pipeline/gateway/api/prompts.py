"""The route of prompts, and their files: `core.prompts` plays them, and `PromptRun` does what follows.

The files are the operator's, in `prompts_folder`, and are read before the caller is put on hold: what is wrong with one
of them is the answer to the order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Request

from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.gateway.api.calls import CallId, call_in_progress
from piopiy_pipeline.gateway.api.dependencies import ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import PromptOrder, PromptStep, PromptTicket
from piopiy_pipeline.gateway.api.prompt_run import AnsweredOrder, PromptRun
from piopiy_pipeline.gateway.api.rest_v3_meaning import answered
from piopiy_pipeline.gateway.api.transfers import transfer_log
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.prompts import PROMPT_RATE, KeyRules, Prompt
from piopiy_pipeline.offload import offload

__all__ = ["KEPT_BYTES", "LONGEST_S", "PromptFiles", "load_prompts", "router", "start_prompts"]

LONGEST_S = 120.0
"""The longest file that is played, in seconds."""
KEPT_BYTES = 64 << 20
"""So much sound of files is kept in memory, shared by all calls: 35 minutes."""

router = APIRouter(prefix="/api/calls", tags=["control"], dependencies=[Operator])

_Stamp = tuple[int, int]  # when a file was changed, and its size


class PromptFiles:
    """The sound of the files of one folder. Those that were read last are kept, until they change on disk.

    Args:
        folder: The folder. None: the gateway plays nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: OrderedDict[str, tuple[_Stamp, bytes]] = OrderedDict()

    async def load(self, steps: Sequence[PromptStep]) -> list[Prompt]:
        """Return the prompts of an order. Raises `ApiError` (422) for a file that cannot be played."""
        sounds: dict[str | None, bytes] = {None: b""}
        for name in dict.fromkeys(name for step in steps for name in _files(step)):
            sounds[name] = await self._sound(name)
        return [
            Prompt(
                sounds[step.file],
                keys=None if step.keys is None else KeyRules(**step.keys.model_dump()),
                retries=step.retries,
                silence_sound=sounds[step.silence_file],
                retry_sound=sounds[step.retry_file],
            )
            for step in steps
        ]

    async def _sound(self, name: str) -> bytes:
        if self._folder is None:
            raise ApiError(422, f"file: {name!r}: this gateway plays nothing: set prompts_folder")
        known = self._kept.get(name)
        try:
            stamp, sound = await offload(_read, self._folder, name, known)
        except WavError as error:
            raise ApiError(422, f"file: {error}") from None
        self._kept[name] = stamp, sound
        self._kept.move_to_end(name)
        while sum(len(one) for _, one in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return sound


def _files(step: PromptStep) -> list[str]:
    return [name for name in (step.file, step.silence_file, step.retry_file) if name is not None]


def _read(folder: Path, name: str, known: tuple[_Stamp, bytes] | None) -> tuple[_Stamp, bytes]:
    try:
        path = (folder / name).resolve(strict=True)
        status = path.stat()
    except (OSError, RuntimeError):  # the latter: links that lead around in a circle
        raise WavError(f"prompts_folder has no {name!r}") from None
    if not path.is_relative_to(folder.resolve()):
        raise WavError(f"{name!r}: is a link that leads out of prompts_folder")
    stamp = status.st_mtime_ns, status.st_size
    if known is not None and known[0] == stamp:
        return known
    try:
        pcm = read_wav(path, PROMPT_RATE)
    except WavError as error:
        raise WavError(str(error).replace(str(path), repr(name))) from None
    if len(pcm) > LONGEST_S * PROMPT_RATE:
        raise WavError(f"{name!r}: longer than {LONGEST_S:g} s")
    return stamp, pcm.astype("<i2").tobytes()


async def load_prompts(deps: ApiDependencies, request: Request, order: PromptOrder) -> list[Prompt]:
    """Return the prompts of an order. Raises `ApiError` (422) for a file that cannot be played, and for a receiver that
    would not be told of keys.
    """
    for number, step in enumerate(order.steps):
        if step.receiver is not None and (why := deps.no_receiver_because(step.receiver)) is not None:
            raise ApiError(422, f"steps.{number}.receiver: {why}")
    files = request.app.state.prompt_files
    assert isinstance(files, PromptFiles)
    return await files.load(order.steps)


def start_prompts(
    deps: ApiDependencies, request: Request, call: GatewayCall, order: PromptOrder, prompts: Sequence[Prompt]
) -> PromptTicket:
    """Play prompts to a caller who can hear them, and do then what the order says.

    Args:
        deps: The gateway.
        request: The one that the order came with.
        call: The call. Its `no_transfer_because` is None.
        order: The order.
        prompts: Its steps, loaded.
    """

    async def read(answer: bytes) -> AnsweredOrder | None:
        if (wanted := answered(answer, deps.knows, deps.no_receiver_because)) is None:
            return None
        following = wanted.prompt_order()
        return AnsweredOrder(following, await load_prompts(deps, request, following), record=wanted.record)

    return PromptRun(call, transfer_log(request), read).begin(order, prompts)


@router.post(
    "/{call_id}/prompts",
    status_code=202,
    summary="Play files to the caller, and collect keys",
    responses=problems({404: "There is no such call.", 409: "The call is not in a state for that."}),
)
async def play_prompts(deps: Deps, request: Request, call_id: CallId, order: PromptOrder) -> PromptTicket:
    """Play prompts while the bot is on hold. For each that collects keys, an event ``collection`` with this
    `request_id` says what came.
    """
    prompts = await load_prompts(deps, request, order)
    call = await call_in_progress(deps, call_id)
    if call.info.kind == "text":
        raise ApiError(409, "a text chat has no sound: prompts are for calls that have")
    if (why := call.control.no_transfer_because) is not None:
        raise ApiError(409, why, request_id=call.control.request_under_way)
    return start_prompts(deps, request, call, order, prompts)

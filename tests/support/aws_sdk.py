"""AWS's SDK for Bedrock's streams, or the few names of it that pipecat's service uses: the SDK wants Python 3.12.

Only values are here, no client: `testing.NovaSonicServer` stands in its place either way.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

__all__ = ["provide_aws_sdk"]


@dataclass
class _Value:
    """A part, a chunk, or an operation's input."""

    value: Any = None
    bytes_: bytes = b""
    model_id: str = ""


def _kind(name: str) -> type[_Value]:
    return type(name, (_Value,), {})


_NAMES = {
    "aws_sdk_bedrock_runtime.client": (
        "BedrockRuntimeClient",
        "InvokeModelWithBidirectionalStreamOperationInput",
    ),
    "aws_sdk_bedrock_runtime.config": ("Config",),
    "aws_sdk_bedrock_runtime.models": (
        "BidirectionalInputPayloadPart",
        "BidirectionalOutputPayloadPart",
        "InvokeModelWithBidirectionalStreamInput",
        "InvokeModelWithBidirectionalStreamInputChunk",
        "InvokeModelWithBidirectionalStreamOperationOutput",
        "InvokeModelWithBidirectionalStreamOutput",
        "InvokeModelWithBidirectionalStreamOutputChunk",
    ),
    "smithy_aws_core.auth.sigv4": ("SigV4AuthScheme",),
    "smithy_aws_core.identity.static": ("StaticCredentialsResolver",),
    "smithy_core.aio.eventstream": ("DuplexEventStream",),
    "smithy_core.shapes": ("ShapeID",),
}


def provide_aws_sdk() -> None:
    """See to it that the SDK's names can be imported."""
    if "aws_sdk_bedrock_runtime" in sys.modules or importlib.util.find_spec("aws_sdk_bedrock_runtime"):
        return
    for path, names in _NAMES.items():
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:n]), ModuleType(".".join(parts[:n])))
        for name in names:
            kind = _kind(name)
            kind.__class_getitem__ = classmethod(lambda cls, _: cls)  # type: ignore[attr-defined]
            setattr(sys.modules[path], name, kind)

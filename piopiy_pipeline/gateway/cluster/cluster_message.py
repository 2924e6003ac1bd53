"""`ClusterMessage`: the base of what gateways of a cluster say to each other."""

from __future__ import annotations

from pydantic import ConfigDict

from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["ClusterMessage"]


class ClusterMessage(Message):
    """A message whose unknown keys are left out: a newer gateway of the same version of the protocol may send more."""

    model_config = ConfigDict(extra="ignore")

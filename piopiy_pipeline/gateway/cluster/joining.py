"""How a gateway with `[cluster]` becomes one of several. Nothing of it is imported by a gateway that is alone."""

from __future__ import annotations

from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["join_cluster"]


async def join_cluster(config: ClusterConfig, url: str, switchboard: Switchboard) -> Cluster:
    """Join the cluster that the configuration names.

    Args:
        config: The settings.
        url: Where the gateway listens.
        switchboard: Its calls and instances.

    Raises:
        GatewayError: The servers refuse this gateway.
    """
    url = config.url or url
    name = config.gateway_name(url)
    cluster = Cluster(name, url, switchboard, NatsDirectory(config, name))
    await cluster.open()
    return cluster

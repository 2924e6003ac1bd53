"""How a gateway with `[cluster]` becomes one of several. Nothing of it is imported by a gateway that is alone."""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["join_cluster"]


async def join_cluster(
    config: ClusterConfig,
    url: str,
    switchboard: Switchboard,
    share: Callable[[NatsCheckpoints], None],
    problems: Callable[[], list[str]],
) -> Cluster:
    """Join the cluster that the configuration names.

    Args:
        config: The settings.
        url: Where the gateway listens.
        switchboard: Its calls and instances.
        problems: Returns what is wrong with this gateway, for the consoles of the others.
        share: Told where checkpoints are kept for callers who call again at another gateway.

    Raises:
        GatewayError: The servers refuse this gateway.
    """
    url = config.url or url
    name = config.gateway_name(url)
    directory = NatsDirectory(config, name)
    cluster = Cluster(name, url, switchboard, directory, OwnHealth(name, url, switchboard, problems))
    await cluster.open()
    if directory.checkpoints is not None:
        share(directory.checkpoints)
    return cluster

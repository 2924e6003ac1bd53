"""How a gateway with `[cluster]` becomes one of several. Nothing of it is imported by a gateway that is alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.cluster_phones import ClusterPhones
from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import PlaceCall
from piopiy_pipeline.gateway.core.switchboard import Switchboard

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.phones.phones import Phones

__all__ = ["digests", "join_cluster"]


async def join_cluster(
    settings: GatewayConfig,
    url: str,
    switchboard: Switchboard,
    share: Callable[[NatsCheckpoints], None],
    problems: Callable[[], list[str]],
    *,
    phones: Phones | None = None,
    place: PlaceCall | None = None,
    records: str = "",
) -> Cluster:
    """Join the cluster that the configuration names.

    Args:
        settings: Those of the gateway, with a cluster.
        url: Where the gateway listens.
        switchboard: Its calls and instances.
        problems: Returns what is wrong with this gateway, for the consoles of the others.
        share: Told where checkpoints are kept for callers who call again at another gateway.
        phones: Its telephones, if it has any.
        place: Gives calls that a process before this one has left to the switchboard.
        records: With which name its calls are marked in the database. Empty: none are kept.

    Raises:
        GatewayError: The servers refuse this gateway.
    """
    config = settings.cluster
    assert config is not None, "only a gateway with a cluster joins one"
    url = config.url or url
    name = config.gateway_name(url)
    directory = NatsDirectory(config, name)

    def all_problems() -> list[str]:
        found = [*problems(), cluster.problem, *cluster.store_problems, *cluster.unsent, *cluster.at_odds]
        return [problem for problem in found if problem]

    health = OwnHealth(name, url, switchboard, all_problems, records)
    cluster = Cluster(name, url, switchboard, directory, health, digests(settings, config.subject))
    await cluster.open()
    stores = directory.stores
    assert stores is not None, "it is open"
    share(stores.checkpoints)
    if phones is not None:
        secret = None
        if settings.token_secret is not None:  # of this gateway alone, and the same when it is started again
            secret = hashlib.sha256(f"flows of {name} {settings.token_secret}".encode()).digest()
        host = urlsplit(url).hostname or "127.0.0.1"
        phones.share(ClusterPhones(name, cluster.others, stores.phones), host, secret)
    if phones is not None and place is not None:
        from piopiy_pipeline.gateway.cluster.kept_phone_calls import KeptPhoneCalls  # with the codecs

        kept = KeptPhoneCalls(name, switchboard, phones, stores.phone_calls, place)
        cluster.at_close.append(kept.close)
        await kept.take_over()
    return cluster


def digests(settings: GatewayConfig, subject: str) -> dict[str, str]:
    """Return what shows whether gateways have the same secrets. It is too short to find out these by guessing."""
    secret = settings.token_secret or ""
    alike = {"token_secret": secret, "api_keys": "\n".join([secret, *sorted(settings.api_keys)])}
    return {
        name: hashlib.scrypt(
            text.encode(), salt=f"piopiy {subject} {name}".encode(), n=1 << 14, r=8, p=1, dklen=4
        ).hex()
        for name, text in alike.items()
    }

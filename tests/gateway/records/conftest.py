"""Databases for tests of the records: SQLite in a file, always; PostgreSQL where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway.config import GatewayConfig
from tests.support import postgres
from tests.support.record_stores import StoreGateway, StoreGateways


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Cluster]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> GatewayConfig:
    """The settings of a gateway with an empty database."""
    settings: dict[str, Any] = {"data_folder": tmp_path / "data"}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres_server").new_database()
    return GatewayConfig(**settings)


@pytest.fixture
def new_gateway() -> Iterator[StoreGateways]:
    """Makes gateways, and closes them."""
    made: list[StoreGateway] = []

    def make(config: GatewayConfig, name: str = "one:7860") -> StoreGateway:
        made.append(StoreGateway(config, name))
        return made[-1]

    yield make
    for gateway in made:
        gateway.die()


@pytest.fixture
def gateway(config: GatewayConfig, new_gateway: StoreGateways) -> StoreGateway:
    return new_gateway(config)

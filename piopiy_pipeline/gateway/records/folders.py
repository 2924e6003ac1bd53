"""Where records and recordings are on this machine. Knows no database."""

from __future__ import annotations

from pathlib import Path

from piopiy_pipeline.gateway.config import GatewayConfig

__all__ = ["data_folder", "recordings_folder"]


def data_folder(config: GatewayConfig) -> Path:
    """The folder of the configuration, or else this user's own."""
    if config.data_folder is not None:
        return config.data_folder
    from platformdirs import user_data_path  # only where it is needed

    return user_data_path("piopiy", appauthor=False)


def recordings_folder(config: GatewayConfig) -> Path:
    """Where recordings are, in a folder for each day."""
    return data_folder(config) / "recordings"

"""The random credentials of `piopiy dev`, in a file that only its user can read.

`piopiy dev` writes the file when its port is open and removes it when it ends. `piopiy call` finds it by the
port. Its folder is the user's data folder, or PIOPIY_CREDENTIALS. It is not the session's runtime folder,
because another terminal of the same user may have another one.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = [
    "CredentialsError",
    "DevCredentials",
    "credentials_folder",
    "find_credentials",
    "remove_credentials",
    "save_credentials",
]

_MAX_BYTES = 10_000


class CredentialsError(Exception):
    """The credentials cannot be kept safe, or the file holds none. The message names the place."""


@dataclass(frozen=True, slots=True)
class DevCredentials:
    """The secrets that a gateway on loopback, its one agent and its callers share."""

    agent_id: str
    agent_token: str = field(repr=False)
    caller_key: str = field(repr=False)

    @classmethod
    def random(cls, agent_id: str) -> DevCredentials:
        """Make new credentials of 256 random bits each.

        Args:
            agent_id: The agent that they are for.
        """
        return cls(agent_id, secrets.token_urlsafe(32), secrets.token_urlsafe(32))


def credentials_folder() -> Path:
    """Return the folder of the files: PIOPIY_CREDENTIALS, or the user's data folder."""
    if folder := os.environ.get("PIOPIY_CREDENTIALS"):
        return Path(folder)
    from platformdirs import user_data_path  # only where it is needed: every verb imports this module

    return user_data_path("piopiy", appauthor=False) / "credentials"


def save_credentials(credentials: DevCredentials, port: int) -> Path:
    """Write the file of a gateway, in place of an older one.

    Args:
        credentials: What to write.
        port: The gateway's port on loopback.

    Returns:
        The path of the file.

    Raises:
        CredentialsError: The folder belongs to somebody else, or others can write to it.
    """
    folder = credentials_folder()
    path = _path(folder, port)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(folder)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(credentials), file)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CredentialsError(f"{path}: credentials cannot be written ({error.strerror or error})") from None
    return path


def find_credentials(port: int) -> DevCredentials | None:
    """Read the credentials of the `piopiy dev` at a port of this machine.

    Args:
        port: The gateway's port on loopback.

    Returns:
        The credentials, or None if there are none.

    Raises:
        CredentialsError: Others can read the file, or it is not such a file.
    """
    path = _path(credentials_folder(), port)
    try:
        with path.open(encoding="utf-8") as file:
            about = os.fstat(file.fileno())
            if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077):
                raise CredentialsError(f"{path}: not yours alone; remove it and start `piopiy dev` again")
            content = json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{path}: cannot be read ({error})") from None
    keys = set(DevCredentials.__dataclass_fields__)
    if (
        not isinstance(content, dict)
        or set(content) != keys
        or not all(isinstance(v, str) for v in content.values())
    ):
        raise CredentialsError(f"{path}: not a file of `piopiy dev`; remove it and start `piopiy dev` again")
    return DevCredentials(**content)


def remove_credentials(credentials: DevCredentials, port: int) -> None:
    """Remove the file of a gateway, unless another `piopiy dev` has replaced it since.

    Args:
        credentials: What the file must hold to be removed.
        port: The gateway's port on loopback.
    """
    try:
        if find_credentials(port) == credentials:
            _path(credentials_folder(), port).unlink(missing_ok=True)
    except CredentialsError:
        return  # then it is not the file that was written


def _path(folder: Path, port: int) -> Path:
    return folder / f"dev-{port}.json"


def _require_private(folder: Path) -> None:
    about = folder.stat()
    if not hasattr(os, "getuid"):
        return
    if about.st_uid != os.getuid():
        raise CredentialsError(f"{folder}: belongs to another user; credentials go into a folder of your own")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CredentialsError(f"{folder}: others can write to it; `chmod 700` it")

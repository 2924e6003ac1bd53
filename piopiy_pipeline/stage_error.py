"""The error of a pipeline that cannot work, for whoever makes one or is given one."""

from __future__ import annotations

__all__ = ["StageError"]


class StageError(ValueError):
    """A pipeline that cannot work.

    Attributes:
        stage: The name of the stage at fault, or None if there is no such stage.
    """

    def __init__(self, message: str, stage: str | None = None) -> None:
        super().__init__(message)
        self.stage = stage

"""Vectors of sentences: two sentences that mean the same have vectors of nearly one direction.

A sentence's vector is the mean of its tokens' vectors, which are read from a table (static embeddings): no
network runs, so one costs 0.02 ms. The table is that of the package wordllama, 16 MB inside its wheel.
Only the data are used: the package itself would copy them into 80 MB of memory, and configures the process's
logging. Mapped from the file they cost no memory of a process's own, and the tokenizer 21 MB.

Without the package, examples are compared by letters alone (`likeness.py`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from loguru import logger

__all__ = ["SentenceVectors", "sentence_vectors"]

_TABLE = (
    "weights/l2_supercat_256.safetensors",
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
_TOKENS = (
    "tokenizers/l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)
"""Files of the wheel of wordllama 0.4 with their SHA-256. What is loaded is what was measured."""


class SentenceVectors:
    """Makes vectors of sentences.

    Args:
        table: One row of float16 for each token.
        tokenizer: A `tokenizers.Tokenizer`.
    """

    def __init__(self, table: npt.NDArray[np.float16], tokenizer: Any) -> None:
        self._table = table
        self._tokenizer = tokenizer

    def of(self, text: str) -> npt.NDArray[np.float32]:
        """Return the vector of a text, of length 1, or of zeros if the text has no token."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not ids:
            return np.zeros(self._table.shape[1], np.float32)
        vector = self._table[ids].astype(np.float32).mean(axis=0)
        length = float(np.linalg.norm(vector))
        return np.asarray(vector / length if length else vector, np.float32)


@lru_cache(maxsize=1)
def sentence_vectors() -> SentenceVectors | None:
    """Return the vectors of the installed package, loaded once a process (60 ms), or None if it is not there."""
    found = importlib.util.find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        return None
    home = Path(found.submodule_search_locations[0])
    for name, expected in (_TABLE, _TOKENS):
        if not (home / name).is_file() or _sha256(home / name) != expected:
            logger.warning(
                f"{home / name} is not the file that was measured: the playbook compares by letters alone; "
                "install wordllama 0.4 for the comparison by meaning"
            )
            return None
    from tokenizers import Tokenizer

    file = home / _TABLE[0]
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        about = json.loads(opened.read(size))["embedding.weight"]
    shape = (int(about["shape"][0]), int(about["shape"][1]))
    table = np.memmap(
        file, dtype=np.float16, mode="r", offset=8 + size + about["data_offsets"][0], shape=shape
    )
    return SentenceVectors(table, Tokenizer.from_file(str(home / _TOKENS[0])))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""For type checkers, which know no import finders: what has no file here is `Any` to them."""

from typing import Any

from piopiy import _modules as _modules

def _refuse_company() -> None: ...
def __getattr__(name: str) -> Any: ...

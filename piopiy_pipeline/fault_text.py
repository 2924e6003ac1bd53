"""`fault_text`: what pydantic finds wrong with a value, as a sentence for whoever wrote the value.

    cluster.servers: expected a list, in square brackets

Pydantic's own texts speak of its validators (``Value error, …``, ``Input should be a valid tuple``), and name no key
when a check of a whole table has failed: then the key stands at the beginning of the check's own text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from piopiy_pipeline.text import printable_line

__all__ = ["TextForm", "fault_key", "fault_text", "plain_words"]

_RAISED = re.compile(r"^(?:Value|Assertion) error, |^Assertion failed, ")
_KEY = re.compile(r"^([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_.-]+)*): ")
_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key",
    "list_type": "expected a list, in square brackets",
    "tuple_type": "expected a list, in square brackets",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a number that is not infinite",
    "path_type": "expected a path",
}
_REWORDED = (
    (re.compile(r"\bInput should be (?:a )?valid integer"), "expected a whole number"),
    (re.compile(r"\bInput should be a valid "), "expected a "),
    (re.compile(r"\bInput should be "), "expected "),
    (re.compile(r"^(?:String|List|Tuple|Dictionary|Value) should have "), "expected "),
    (
        re.compile(r"^String should match pattern "),
        "has a character that may not be there, or is not of the form ",
    ),
    (
        re.compile(r"^Unable to extract tag using discriminator ('\w+')"),
        r"\1 is missing, which says what it is",
    ),
    (
        re.compile(r"^Input tag ('.*') found using ('\w+') does not match any of the expected tags: "),
        r"\2 is \1, and none of ",
    ),
    (re.compile(r" after validation"), ""),
    (re.compile(r", unable to (?:parse string|interpret input)\b.*"), ""),
)


class TextForm:
    """The form of a field's text, for ``Annotated``: a ``pattern`` whose fault is a sentence, and no expression.

    Args:
        pattern: A regular expression, which the JSON schema names. A ``$`` at its end is the end of the text.
        fault: What is wrong with other texts, as it follows the key: ``expected the name of a file``.
    """

    def __init__(self, pattern: str, fault: str) -> None:
        self._pattern = pattern
        self._fault = fault
        ends = pattern.endswith("$")
        self._form = re.compile(f"{pattern[:-1]}\\Z" if ends else pattern)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the form behind what else is said of the field."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Name the pattern."""
        return handler(schema) | {"pattern": self._pattern}

    def _checked(self, text: str) -> str:
        if self._form.search(text) is None:
            raise ValueError(self._fault)
        return text


def fault_text(fault: Mapping[str, Any]) -> str:
    """Return one of the faults of a `ValidationError` as ``key.of.it: what is wrong``.

    Args:
        fault: One of its ``errors()``. The value itself is never told, because it may be a secret.

    Returns:
        A line. Without a key, what is wrong alone.
    """
    key, what = _parted(fault)
    return f"{key}: {what}" if key else what


def plain_words(text: str) -> str:
    """Return one of pydantic's texts, or a sentence that ends with one, in words of whoever reads it."""
    for pattern, words in _REWORDED:
        text = pattern.sub(words, text)
    return text


def fault_key(fault: Mapping[str, Any]) -> str:
    """Return the first part of the key that is wrong, such as ``cluster``, or ""."""
    return _parted(fault)[0].partition(".")[0]


def _parted(fault: Mapping[str, Any]) -> tuple[str, str]:
    where = [printable_line(str(part)) for part in fault["loc"] if part != "[key]"]
    what = _what(fault)
    # A check of a whole table names the key itself.
    if _RAISED.match(fault["msg"]) and (named := _KEY.match(what)) and where[-1:] != [named[1]]:
        where.append(named[1])
        what = what[named.end() :]
    return ".".join(where), what


def _what(fault: Mapping[str, Any]) -> str:
    if (known := _EXPECTED.get(fault["type"])) is not None:
        return known
    text: str = fault["msg"]
    if raised := _RAISED.match(text):
        return text[raised.end() :]
    return plain_words(text)

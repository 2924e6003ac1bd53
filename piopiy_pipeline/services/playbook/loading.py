"""Reads a playbook file. A mistake is a `PlaybookError` with file, line and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.services.playbook.model import PLACEHOLDER, Playbook, PlaybookError

__all__ = ["load_playbook", "parse_playbook"]

_Path = tuple[str | int, ...]
_WHOLE = re.compile(r"-?\d{1,18}")
_RENAMED = {"phrases": "examples"}
MAX_BYTES = 256 << 10
"""A playbook is some kilobytes. PyYAML takes seconds for this much."""
MAX_VALUES = 20_000
"""Aliases repeat what they name, so that a small text may stand for billions of values."""


def load_playbook(path: str | Path) -> Playbook:
    """Read a playbook from a YAML file.

    Args:
        path: The file.

    Raises:
        PlaybookError: The file cannot be read, or has a mistake. The message names the line.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8") if len(data) <= MAX_BYTES else ""
    except OSError as error:
        raise PlaybookError(f"{path.absolute()}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PlaybookError(f"{path}: expected text in UTF-8") from None
    if len(data) > MAX_BYTES:
        raise _too_large(str(path))
    return parse_playbook(text, name=str(path))


def parse_playbook(text: str, *, name: str = "playbook") -> Playbook:
    """Read a playbook from a YAML text.

    Args:
        text: The YAML text.
        name: What error messages call the file.

    Raises:
        PlaybookError: The text has a mistake. The message names the line.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise _too_large(name)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PlaybookError(f"{name}:{line}: expected YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise PlaybookError(f"{name}:1: expected YAML: {error}") from None
    except RecursionError:
        raise PlaybookError(f"{name}:1: nested too deeply for a playbook") from None
    if not isinstance(root, yaml.MappingNode):
        raise PlaybookError(f"{name}:1: expected a mapping with 'intents'")
    lines: dict[_Path, int] = {}
    try:
        data = _plain(root, (), lines, name)
    except RecursionError:
        raise PlaybookError(f"{name}:1: an alias stands for something that contains it") from None
    try:
        playbook = Playbook.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = tuple(part for part in first["loc"] if part != "function-before")
        renamed = next((each for each in error.errors() if each["loc"][-1] in _RENAMED), None)
        if renamed:
            where = renamed["loc"]
            new = _RENAMED[str(where[-1])]
            problem = f"expected {new!r}: that is what the key is called now, and its list stays"
            raise PlaybookError(f"{name}:{_line(where, lines)}: {_dotted(where)}: {problem}") from None
        line = _line(where, lines)
        raise PlaybookError(f"{name}:{line}: {_dotted(where)}: {_expected(first)}") from None
    for where, problem in _problems(playbook):
        raise PlaybookError(f"{name}:{_line(where, lines)}: {_dotted(where)}: {problem}")
    return playbook


def _too_large(name: str) -> PlaybookError:
    return PlaybookError(f"{name}:1: larger than {MAX_BYTES >> 10} kB: no playbook is")


def _plain(node: yaml.Node, path: _Path, lines: dict[_Path, int], name: str) -> Any:
    """Return the value of a YAML node, and note in `lines` the line of each part."""
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MAX_VALUES:
        raise PlaybookError(
            f"{name}:{node.start_mark.line + 1}: more than {MAX_VALUES} values: no playbook has so many"
        )
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            here = (*path, str(key.value))
            if str(key.value) in result:
                line = key.start_mark.line + 1
                raise PlaybookError(
                    f"{name}:{line}: {_dotted(here)}: expected each name once; it is here twice"
                )
            lines[here] = key.start_mark.line + 1
            result[str(key.value)] = _plain(value, here, lines, name)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, (*path, at), lines, name) for at, each in enumerate(node.value)]
    if not node.value and node.tag == "tag:yaml.org,2002:null":
        return None
    if isinstance(node, yaml.ScalarNode) and node.style is None and _WHOLE.fullmatch(node.value):
        return int(node.value)
    # Everything else is text: "yes", "no" and "19:00" are what callers say, not what YAML makes of them.
    return node.value


def _line(where: _Path, lines: dict[_Path, int]) -> int:
    """Return the line of the nearest part that is in the file."""
    while where not in lines:
        where = where[:-1]
    return lines[where]


def _dotted(where: _Path) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in where) or "playbook"


def _expected(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "missing":
            return "expected, and not here"
        case "extra_forbidden":
            return "not a name that is known here"
        case "too_short":
            return "expected at least one"
        case "string_too_short":
            return "expected some text"
        case "string_pattern_mismatch":
            return f"expected a time such as 19:30, not {error['input']!r}"
        case "literal_error":
            return f"expected {context['expected']}, not {error['input']!r}"
    what = {
        "string_type": "text",
        "list_type": "a list",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
    }.get(kind)
    return f"expected {what}, not {error['input']!r}" if what else fault_text({**error, "loc": ()})


def _problems(playbook: Playbook) -> list[tuple[_Path, str]]:
    """Return what is wrong between the parts of a playbook: the place of each problem, and a sentence."""
    found: list[tuple[_Path, str]] = []
    slots = playbook.slots
    names = ", ".join(slots) or "none are defined"
    for name, slot in slots.items():
        here = ("slots", name)
        if (slot.type == "one_of") != bool(slot.values):
            need = "expected, and not here" if slot.type == "one_of" else f"a {slot.type} has none"
            found.append(((*here, "values"), need))
        found += _strangers((*here, "check"), slot.check, {"value"})
        if slot.type == "number" and slot.min > slot.max:
            found.append(((*here, "min"), f"expected at most max, which is {slot.max}"))
        others = [name for name in ("earliest", "latest") if getattr(slot, name) and slot.type != "time"]
        others += ["closed"] if slot.closed and slot.type != "day" else []
        found += [((*here, name), f"a {slot.type} has none") for name in others]
        if slot.earliest and slot.latest and slot.earliest > slot.latest:
            found.append(((*here, "earliest"), f"expected at most latest, which is {slot.latest}"))
    for name, intent in playbook.intents.items():
        intent_at = ("intents", name)
        for at, wanted in enumerate(intent.slots):
            if wanted not in slots:
                found.append(((*intent_at, "slots", at), f"expected a slot ({names}), not {wanted!r}"))
        if not (intent.reply or intent.tool):
            found.append((intent_at, "expected a reply or a tool"))
        if not intent.tool:
            found += [
                ((*intent_at, field), "expected a tool along with it")
                for field in ("confirm", "changed", "say", "failed")
                if getattr(intent, field)
            ]
        for at, example in enumerate(intent.examples):
            for used in PLACEHOLDER.findall(example):
                if used not in slots:
                    problem = f"expected a slot in braces ({names}), not {{{used}}}"
                    found.append(((*intent_at, "examples", at), problem))
        for field in ("confirm", "changed", "say", "reply", "failed"):
            for at, reply in enumerate(getattr(intent, field) or ()):
                for used in PLACEHOLDER.findall(reply):
                    result = field in ("reply", "failed") and intent.tool and used.startswith("result.")
                    if used not in intent.slots and not result:
                        known = ", ".join(intent.slots) or "it has none"
                        problem = f"expected a slot of this intent ({known}), not {{{used}}}"
                        found.append(((*intent_at, field, at), problem))
    found += _strangers(("replies", "check"), playbook.replies.check, {"value"})
    found += _strangers(("replies", "choose"), playbook.replies.choose, {"value", "other"})
    if playbook.done is not None and playbook.done not in playbook.intents:
        found.append(
            (("done",), f"expected an intent ({', '.join(playbook.intents)}), not {playbook.done!r}")
        )
    return found


def _strangers(where: _Path, texts: Iterable[str] | None, known: set[str]) -> list[tuple[_Path, str]]:
    """Return a problem for each name in braces that a text cannot have."""
    names = ", ".join(f"{{{name}}}" for name in sorted(known, reverse=True))
    return [
        ((*where, at), f"expected {names}, not {{{used}}}")
        for at, text in enumerate(texts or ())
        for used in PLACEHOLDER.findall(text)
        if used not in known
    ]

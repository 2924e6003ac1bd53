"""Reads the file of a flow, and joins it to the author's functions. What is wrong is one sentence with file and line.

pipecat reads and checks flows; what it says of a mistake has no line. Here the YAML is read once more as it
stands, to know in which line a part of it is. That takes tens of milliseconds of the event loop, and each call names
its flow: a file is parsed again only when a text of it has changed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.session.flow.flow_slips import MESSAGES, slip_in

if TYPE_CHECKING:
    from pipecat.flows import Flow, FlowConfig

__all__ = ["FlowFileError", "check_actions", "join_flow", "read_flow"]

MAX_BYTES = 1 << 20
MAX_KEPT = 16
"""So many parsed files are kept: more than an agent has flows."""
MOST_PROBLEMS = 8
_KEPT: OrderedDict[Path, tuple[dict[Path, str], FlowConfig]] = OrderedDict()
"""By file: its text with those of the files that it includes, and what they are, parsed. The last used at the end."""
_Path = tuple[str | int, ...]
_NODE_AND_FUNCTION = re.compile(r"node '(?P<node>[^']*)'.*?(?:function|tool|handler) '(?P<function>[^']*)'")
_GLOBAL = re.compile(r"global_functions.*?(?:function|tool|handler) '(?P<function>[^']*)'")


class FlowFileError(ValueError):
    """A flow that cannot work, of a file or not. The message has the file and the line, where they are known."""


def read_flow(path: Path) -> FlowConfig:
    """Read the file of a flow: YAML or JSON, in the form of pipecat's flows.

    Args:
        path: The file. ``!include`` names files beside it.

    Returns:
        A copy of the caller's own: the file is parsed once for each content of it.

    Raises:
        FlowFileError: There is no such file, or it has a mistake.
    """
    from pipecat.flows import FlowConfig

    try:
        if path.stat().st_size > MAX_BYTES:
            raise FlowFileError(f"{path}:1: larger than {MAX_BYTES >> 10} kB: no flow is")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FlowFileError(f"{path.absolute()}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FlowFileError(f"{path}: expected text in UTF-8") from None
    if (kept := _kept(path, text)) is not None:
        return kept
    root: yaml.Node | None = None
    texts = {path: text}
    try:
        if path.suffix == ".json":
            config = FlowConfig.from_json(text)
            root = _composed(text)
        else:
            root = yaml.compose(text, Loader=_AnyTag)
            # Before they are parsed: one that changes meanwhile is read again.
            texts |= _included(root, path.parent.absolute())
            config = FlowConfig.from_yaml(text, base_dir=path.parent)
    except FlowFileError:  # of a file that it includes
        raise
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(path, error) from None
    except ValidationError as error:
        where, problem = _first_fault(error)
        raise FlowFileError(f"{path}:{_line_of(text, where, problem)}: {problem}") from None
    except RecursionError:
        raise FlowFileError(f"{path}:1: nested too deep: no flow is") from None
    except (yaml.YAMLError, ValueError, OSError) as error:  # JSON, and what an !include meets
        raise FlowFileError(f"{path}:{getattr(error, 'lineno', 1)}: {_one_line(error)}") from None
    _check_slips(path, root)
    _KEPT[path.absolute()] = (texts, config.model_copy(deep=True))
    while len(_KEPT) > MAX_KEPT:
        _KEPT.popitem(last=False)
    return config


def _no_yaml(path: Path, error: yaml.MarkedYAMLError) -> FlowFileError:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return FlowFileError(f"{path}:{line}: expected YAML: {error.problem or error.context}")


def _check_slips(path: Path, root: yaml.Node | None, *, of_messages: bool = False) -> None:
    if root is not None and (slip := slip_in(root, of_messages=of_messages)) is not None:
        raise FlowFileError(f"{path}:{slip[0]}: {slip[1]}")


def _first_fault(error: ValidationError) -> tuple[_Path, str]:
    """Return where the first mistake is, and what it is. Of what may be text or a mapping, both are tried: the mistake
    is the one that was found within.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    places = [
        tuple(part for part in one["loc"] if isinstance(part, int) or not _is_of_union(part))
        for one in faults
    ]
    within = [n for n, place in enumerate(places) if place[: len(places[0])] == places[0]]
    found = max(within, key=lambda n: len(places[n]))
    return places[found], fault_text({**faults[found], "loc": places[found]})


def _kept(path: Path, text: str) -> FlowConfig | None:
    """Return a copy of what a file is that was parsed with this text, if what it includes is as it was, too."""
    key = path.absolute()
    texts, config = _KEPT.get(key, ({}, None))
    if config is None or next(iter(texts.values())) != text:
        return None
    try:
        if any(each.read_text("utf-8") != was for each, was in list(texts.items())[1:]):
            return None
    except (OSError, UnicodeDecodeError):
        return None  # who parses it says what is wrong
    _KEPT.move_to_end(key)
    return config.model_copy(deep=True)


def _included(root: yaml.Node | None, folder: Path) -> dict[Path, str]:
    """Return the texts of the files that a file includes, and that these include.

    Raises:
        OSError: One cannot be read.
        FlowFileError: One is no text in UTF-8 or no YAML, or has a slip.
    """
    texts: dict[Path, str] = {}
    waiting, seen = [(root, False)], set[int]()  # and whether it is messages, or one of them
    while waiting:
        node, of_messages = waiting.pop()
        if node is None or id(node) in seen:  # nothing in the file; an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                waiting += [(key, False), (value, key.value == MESSAGES)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, of_messages) for part in node.value]
        elif node.tag == "!include" and (path := folder / str(node.value)) not in texts:
            try:
                texts[path] = path.read_text(encoding="utf-8")
                included = yaml.compose(texts[path], Loader=_AnyTag)
            except UnicodeDecodeError:
                raise FlowFileError(f"{path}: expected text in UTF-8") from None
            except yaml.MarkedYAMLError as error:
                raise _no_yaml(path, error) from None
            _check_slips(path, included, of_messages=of_messages)
            waiting.append((included, of_messages))
    return texts


def join_flow(config: FlowConfig, handlers: Any, path: Path | None = None) -> Flow:
    """Join a flow to the functions that it names.

    Args:
        config: The flow.
        handlers: Where the functions are: a mapping, a module, or a list of these.
        path: The flow's file, to name lines of it.

    Raises:
        FlowFileError: A function is missing, or is none that a flow can use.
    """
    from pipecat.flows import Flow
    from pipecat.flows.exceptions import FlowReferenceError

    try:
        return Flow(config, handlers=handlers)
    except FlowReferenceError as error:
        text = None if path is None else path.read_text("utf-8")
        found = []
        for each in error.problems[:MOST_PROBLEMS]:
            problem = each.message.replace("which is not in the handlers", "and there is no such function")
            where = "the flow" if text is None else f"{path}:{_line_of(text, (), problem)}"
            found.append(f"{where}: {_one_line(problem)}")
        more = len(error.problems) - len(found)
        raise FlowFileError("; ".join(found) + (f" (and {more} more)" if more else "")) from None


def check_actions(config: FlowConfig, registered: Collection[str], path: Path) -> None:
    """Check that somebody can do each action of a flow: a node with another one would never be entered.

    Args:
        config: The flow.
        registered: The types of actions that the bot registers with the flow's manager.
        path: The flow's file, to name lines of it.

    Raises:
        FlowFileError: An action has no handler, and the bot does not register its type.
    """
    for name, node in config.nodes.items():
        for kind in ("pre_actions", "post_actions"):
            for number, action in enumerate(getattr(node, kind) or ()):
                if action.registered_in_code and action.type not in registered:
                    line = _line_of(path.read_text("utf-8"), ("nodes", name, kind, number), "")
                    raise FlowFileError(
                        f"{path}:{line}: the action {action.type!r} of node {name!r} has no handler: name one, or have "
                        f"the bot call flow_manager.register_action({action.type!r}, ...)"
                    )


def _line_of(text: str, where: _Path, problem: str) -> int:
    """Return the line of a part of the file: by its path, or by the node and the function that a sentence names."""
    root = _composed(text)
    if not isinstance(root, yaml.MappingNode):
        return 1
    named = _NODE_AND_FUNCTION.search(problem) or _GLOBAL.search(problem)
    if not where and named is not None:
        parts = named.groupdict()
        inside = _at(root, ("nodes", parts["node"])) if "node" in parts else _at(root, ("global_functions",))
        if inside is not None and (line := _line_of_name(inside, parts["function"])) is not None:
            return line
    if not where and "initial_node" in problem:
        where = ("initial_node",)
    while where and (node := _at(root, where)) is None:
        where = where[:-1]
    node = _at(root, where)
    return 1 if node is None else node.start_mark.line + 1


def _composed(text: str) -> yaml.Node | None:
    """Return a file, composed and not constructed; None if it is no YAML.

    JSON is, but for its tabs, of which none stands in a text.
    """
    try:
        return yaml.compose(text.replace("\t", " "), Loader=_AnyTag)
    except (yaml.YAMLError, RecursionError):
        return None


def _at(node: yaml.Node, where: _Path) -> yaml.Node | None:
    for step in where:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if str(key.value) == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
        if found is None:
            return None
        node = found
    return node


def _line_of_name(node: yaml.Node, name: str) -> int | None:
    """Return the line of the first text with this value inside."""
    if isinstance(node, yaml.ScalarNode):
        return node.start_mark.line + 1 if node.value == name else None
    inside = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return next((line for part in inside if (line := _line_of_name(part, name)) is not None), None)


def _is_of_union(part: str) -> bool:
    """Whether this is pydantic's name of a branch of a union, and no key of the file."""
    return part in ("str", "Branch") or part.startswith("function-")


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


class _AnyTag(yaml.SafeLoader):
    """Composes a file with tags of whatever name, as ``!include``."""

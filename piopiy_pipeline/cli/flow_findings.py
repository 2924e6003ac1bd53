"""Checks the file of a flow, and that a bot has its functions: for `piopiy flow` and `piopiy check`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.finding import Finding
from piopiy_pipeline.cli.options import require_bot

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph

__all__ = ["checked_flow", "flow_findings"]


def checked_flow(file: Path, bot: Path | None) -> FlowGraph:
    """Return the graph of a flow.

    Args:
        file: The flow's file.
        bot: The file with its functions, which is read and not run. None: they are not looked for.

    Raises:
        BadInput: The flow has a mistake, or a function is missing.
    """
    from piopiy_pipeline.log import import_pipecat

    import_pipecat()
    from piopiy_pipeline.session.flow.flow_file import FlowFileError, check_actions, join_flow, read_flow
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph

    try:
        config = read_flow(file)
        if bot is not None:
            tree = _tree_of(bot)
            join_flow(config, _functions_in(tree), file)
            if (registered := _actions_in(tree)) is not None:
                check_actions(config, registered, file)
    except FlowFileError as error:
        raise BadInput(str(error)) from None
    return FlowGraph.of_config(config, file.stem)


def flow_findings(file: Path | None, bot: Path | None = None) -> Iterator[Finding]:
    """Check a flow for `piopiy check`; None: there is none to check."""
    if file is None:
        return
    try:
        graph = checked_flow(file, bot)
    except BadInput as error:
        yield Finding("flow", "bad", str(error))
    else:
        counts = f"{file}: {len(graph.nodes)} nodes, {len(graph.edges)} edges"
        yield Finding("flow", "ok", "; ".join([counts, *graph.notes()]))


def _tree_of(bot: Path) -> ast.Module:
    """Return what a file says, without running it. Raises `BadInput` if it cannot be read."""
    require_bot(bot)
    try:
        return ast.parse(bot.read_bytes(), str(bot))
    except OSError as error:
        raise BadInput(f"{bot}: cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise BadInput(f"{bot}: {error}") from None


def _actions_in(tree: ast.Module) -> set[str] | None:
    """Return the types of actions that a bot registers. None: they are not known, because it computes one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "register_action":
            continue
        named = [word.value for word in node.keywords if word.arg == "action_type"]
        kind = (*node.args, *named)[0] if node.args or named else None
        if not isinstance(kind, ast.Constant) or not isinstance(kind.value, str):
            return None
        found.add(kind.value)
    return found


def _functions_in(tree: ast.Module) -> dict[str, object]:
    """Return a stand-in for each function that a file defines or imports."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            found[node.name] = _not_async(node.name)
            continue
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.asname or alias.name for alias in node.names]
        else:
            continue
        found.update(dict.fromkeys(names, _stand_in))
    return found


def _not_async(name: str) -> object:
    def stand_in(flow_manager: object) -> tuple[None, None]:
        """Stand for a function of the bot's that is not async."""
        return None, None

    stand_in.__name__ = name
    return stand_in


async def _stand_in(flow_manager: object) -> tuple[None, None]:
    """Stands for a function of the bot's."""
    return None, None

"""The self-check finds what an upgrade of pipecat has changed, and nothing else reaches into pipecat.

What the functions of `compat.pipecat` do is tested where they are used: tests/processors, tests/transports,
tests/session, tests/capture and tests/testing.
"""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Generator, Iterator
from types import ModuleType

import pytest
from pipecat.frames.frames import Frame
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi.observer import RTVIObserver
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService

import piopiy_pipeline
from piopiy_pipeline.compat import CompatError, pipecat
from tests.support.aws_sdk import provide_aws_sdk


def test_the_installed_version_passes() -> None:
    pipecat.check()


def test_a_hook_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(PipelineWorker, "_source_push_frame")
    with pytest.raises(CompatError, match=r"pipecat-ai .*: PipelineWorker has no _source_push_frame"):
        pipecat.check()


def test_a_method_of_a_service_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(LLMService, "_push_llm_text")
    with pytest.raises(CompatError, match="LLMService has no _push_llm_text"):
        pipecat.check()


def test_an_attribute_that_is_no_longer_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(self: STTService) -> None:
        self._init_sample_rate = None

    monkeypatch.setattr(STTService, "__init__", init)
    with pytest.raises(CompatError, match="STTService has no _ttfs_p99_latency"):
        pipecat.check()


def test_a_translation_that_waits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sleeper:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def on_push_frame(self: object, data: object) -> None:
        await Sleeper()

    monkeypatch.setattr(RTVIObserver, "on_push_frame", on_push_frame)
    translator = pipecat.RtviTranslator(None, lambda message: None)
    with pytest.raises(CompatError, match="on_push_frame waits"):
        translator.translate(Frame(), FrameProcessor())


def test_the_hook_at_the_source_sees_a_frame_before_pipecat_acts_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    class Worker(pipecat.SourceHookWorker):
        def __init__(self) -> None: ...

        async def frame_left_upstream(self, frame: Frame) -> None:
            seen.append("hook")

    async def source_push_frame(self: object, frame: Frame, direction: FrameDirection) -> None:
        seen.append("pipecat")

    monkeypatch.setattr(PipelineWorker, "_source_push_frame", source_push_frame)
    work = Worker()._source_push_frame(Frame(), FrameDirection.UPSTREAM)
    with pytest.raises(StopIteration):
        work.send(None)
    assert seen == ["hook", "pipecat"]


# ---------------------------------------------------------------------- nothing else reaches inside


def _modules() -> Iterator[ModuleType]:
    """The agent's side: the gateway does not import pipecat."""
    provide_aws_sdk()
    for found in pkgutil.walk_packages(piopiy_pipeline.__path__, "piopiy_pipeline."):
        inside = found.name.removeprefix("piopiy_pipeline.")
        if not inside.startswith(("gateway", "compat")) and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _assigned_by_constructor(cls: type) -> tuple[str, ...]:
    init = vars(cls).get("__init__")
    return init.__code__.co_names if inspect.isfunction(init) else ()


def _reaches(cls: type) -> Iterator[str]:
    """The underscore attributes of its pipecat bases that a class uses beyond `SUBCLASS_HOOKS`."""
    inherited = [base for base in cls.__mro__ if base.__module__.split(".")[0] == "pipecat"]
    if not inherited:
        return
    hooks = {name for names in pipecat.SUBCLASS_HOOKS.values() for name in names}
    theirs = {
        name
        for base in inherited
        for name in (*vars(base), *_assigned_by_constructor(base))
        if name.startswith("_") and not name.startswith(("__", "_abc_"))
    }
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls)))):
        if isinstance(node, ast.Attribute) and node.attr in theirs - hooks:
            yield f"{cls.__name__} uses {ast.unparse(node)}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in theirs - hooks:
            yield f"{cls.__name__} overrides {node.name}"


def test_only_compat_uses_what_pipecat_marks_as_private() -> None:
    found = [
        reach
        for module in _modules()
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__
        for reach in _reaches(cls)
    ]
    assert found == []

"""The drop-in face: Piopiy's published import paths, and nothing else.

The import package ``piopiy`` belongs to two more distributions. Of piopiy-ai, files of one would overwrite files of
the other. The package `piopiy`, the client of Piopiy's REST API, has this one file in common with us: its names are
found here, and where its file is the one that is here, ours are (`piopiy._modules`).
"""

from importlib import import_module as _import_module
from importlib import metadata as _metadata

from piopiy import _modules as _modules
from piopiy_pipeline.log import import_pipecat as _import_pipecat

_CLIENT = frozenset(
    (
        "PiopiyAPIError",
        "PiopiyError",
        "PiopiyNetworkError",
        "PiopiyValidationError",
        "PipelineBuilder",
        "RestClient",
        "connect_action",
        "hangup_action",
        "input_action",
        "param_action",
        "play_action",
        "play_get_input_action",
        "record_action",
    )
)


def __getattr__(name: str) -> object:
    """Return a name of the package `piopiy`, the client of Piopiy's REST API, if that is installed beside us."""
    if name not in _CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        client = _import_module("piopiy.voice")
    except ModuleNotFoundError as error:
        if error.name != "piopiy.voice":
            raise
        raise ImportError(
            f"{name} is of the client of Piopiy's REST API, which is not installed: pip install piopiy",
            name=name,
        ) from None
    return getattr(client, name)


def _refuse_company() -> None:
    try:
        version = _metadata.version("piopiy-ai")
    except _metadata.PackageNotFoundError:
        return
    raise ImportError(
        f"piopiy-ai {version} is installed next to piopiy-pipeline, and both own the package 'piopiy'. "
        "Uninstall both, then install the one you want: pip uninstall -y piopiy-ai piopiy-pipeline && "
        "pip install piopiy-pipeline. (Or import piopiy_pipeline, which is ours alone.)"
    )


_refuse_company()
_import_pipecat()  # which every name here needs: without its greeting

"""The drop-in face: Piopiy's published import paths, and nothing else.

The import package ``piopiy`` belongs to the distribution piopiy-ai too. Both in one environment
would mean that files of one overwrite files of the other.
"""

from importlib import metadata as _metadata

from piopiy_pipeline.log import import_pipecat as _import_pipecat


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

"""The import name `orca_python`, served by `orca.processor`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _refuse_published() -> None:
    """Two distributions that both provide this module overwrite each other's files: say so, do not guess.

    Raises:
        ImportError: orca-python is installed too.
    """
    try:
        found = version("orca-python")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"orca-python {found} and orca-compat both provide 'orca_python', so which one runs is chance; keep one:\n"
        "  pip uninstall orca-python && pip install --force-reinstall --no-deps orca-compat",
        name="orca_python",
    )


_refuse_published()

from orca_python.main import (  # noqa: E402 - only when this package is the one that provides the module
    ArrayResult,
    EmitWindow,
    ExecutionParams,
    MetadataField,
    NoneResult,
    Processor,
    StructResult,
    ValueResult,
    Window,
    WindowType,
    lookback,
)

__all__ = [
    "ArrayResult",
    "EmitWindow",
    "ExecutionParams",
    "MetadataField",
    "NoneResult",
    "Processor",
    "StructResult",
    "ValueResult",
    "Window",
    "WindowType",
    "lookback",
]

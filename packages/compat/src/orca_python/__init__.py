"""The import name `orca_python`, served by `orca.processor`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__: list[str] = []


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

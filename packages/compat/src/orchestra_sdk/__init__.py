"""The import name `orchestra_sdk`, served by `orchestra.sdk`.

Programs for orchestra-sdk 0.0.16 to 0.2.0 run unchanged; new code imports `orchestra.sdk`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__: list[str] = []


def _refuse_published() -> None:
    """Two distributions that both provide this module overwrite each other's files: say so, do not guess.

    Raises:
        ImportError: orchestra-sdk is installed too.
    """
    try:
        found = version("orchestra-sdk")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"orchestra-sdk {found} and orca-compat both provide 'orchestra_sdk', so which one runs is chance; keep one:\n"
        "  pip uninstall orchestra-sdk && pip install --force-reinstall --no-deps orca-compat",
        name="orchestra_sdk",
    )


_refuse_published()

"""Write ``.importlinter`` from what the packages declare; with ``--check`` only compare.

The rule who may import whom stands in ``workspace_checks.MAY_IMPORT``; each package lists its pure modules as
``kernel`` in the ``[tool.orca-workspace]`` table of its pyproject.toml.
"""

from __future__ import annotations

import sys

from workspace_checks import MAY_IMPORT, MODULES, ROOT, toml

IMPURE = (
    "anyio", "asyncio", "grpc", "httpx", "logging", "os", "random", "socket", "sqlalchemy", "threading", "time",
)  # fmt: skip


def contract(key: str, name: str, sources: list[str], forbidden: list[str]) -> list[str]:
    """One contract, as the lines of an INI section."""
    return [
        f"[importlinter:contract:{key}]",
        f"name = {name}",
        "type = forbidden",
        "source_modules =",
        *(f"    {module}" for module in sources),
        "forbidden_modules =",
        *(f"    {module}" for module in forbidden),
        "",
    ]


def render() -> str:
    """The whole file."""
    lines = [
        "# Written by `nox -s generate` from the packages' pyproject.toml files.",
        "[importlinter]",
        "include_external_packages = True",
        "root_packages =",
        *(f"    {module}" for modules in MODULES.values() for module in modules),
        "",
    ]
    for package, allowed in MAY_IMPORT.items():
        forbidden = [
            m for other in MODULES if other != package and other not in allowed for m in MODULES[other]
        ]
        if forbidden:
            below = ", ".join(sorted(allowed)) or "no sibling"
            lines += contract(f"layer-{package}", f"{package} imports {below}", MODULES[package], forbidden)
    for package in MODULES:
        table = toml(ROOT / "packages" / package / "pyproject.toml")
        kernel = table.get("tool", {}).get("orca-workspace", {}).get("kernel", [])
        if kernel:
            lines += contract(f"kernel-{package}", f"the kernel of {package} is pure", kernel, list(IMPURE))
    return "\n".join(lines)


def main() -> None:
    """Write or compare."""
    path = ROOT / ".importlinter"
    text = render()
    if "--check" not in sys.argv[1:]:
        path.write_text(text, "utf-8")
    elif not path.exists() or path.read_text("utf-8") != text:
        raise SystemExit(".importlinter is stale")


if __name__ == "__main__":
    main()

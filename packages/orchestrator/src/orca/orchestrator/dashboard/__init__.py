"""The pages of a core: what runs, what failed and why, what it cost, on the core's own loop.

Nothing heavy is imported here: a core pays for its pages when somebody opens one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.orchestrator.dashboard.mount import Pages

if TYPE_CHECKING:
    from orca.orchestrator.server import CoreServer

__all__ = ["Pages", "mounted"]


def mounted(server: CoreServer) -> Pages:
    """The pages of one core, for `CoreServer.mount`.

    Args:
        server: Whose core; its ``web_port`` setting says where the pages listen.
    """
    return Pages(server.settings.web_port)

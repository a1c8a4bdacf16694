"""What the SDK itself has logged."""

from __future__ import annotations

import pytest

__all__ = ["own_lines"]


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of our logger, in order.

    Not those of others: gRPC's queue tells asyncio's logger, at any time, of loops that earlier tests have closed.
    """
    return [one.getMessage() for one in caplog.records if one.name.split(".")[0] == "orca"]

"""Settings that explain themselves, a retry that nobody waits for, and a log line without its secret."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

from orca.common.config import SecretStr, Settings
from orca.common.errors import ConfigError, UnreachableError
from orca.common.logging import bind_context, configure_logging
from orca.common.retry import Retry, RetryPolicy
from orca.common.testing import FakeClock


class MillSettings(Settings):
    """Where the mill is and how to get in."""

    url: str = "http://127.0.0.1:8080"
    token: SecretStr | None = None
    grain_max: int = 10


def main() -> None:
    """Show all three."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "orca.json").write_text(json.dumps({"grainMax": 7}))
        settings = MillSettings.load(
            {"url": "http://mill.test"}, environ={"ORCA_TOKEN": "flour-and-water"}, folder=folder
        )
        for origin in settings.explain():
            print(str(origin).replace(name, "FOLDER"))
    try:
        MillSettings.load(environ={"ORCA_GRAIN_MAX": "many"}, files=False)
    except ConfigError as error:
        print(error.message)

    answers: list[str | None] = [None, None, "ground"]

    def grind() -> str:
        answer = answers.pop(0)
        if answer is None:
            raise UnreachableError("the mill does not answer")
        return answer

    def tell(retry: Retry) -> None:
        print(f"attempt {retry.attempt}: {retry.error}; again in {retry.delay_s} s")

    print(RetryPolicy(jitter=0).call(grind, clock=FakeClock(), on_retry=tell))

    with tempfile.TemporaryFile("w+") as out:
        configure_logging("json", redact=settings.secrets(), stream=out)
        with bind_context(exec_id="e-1"):
            logging.getLogger("mill").info("opened with %s", "flour-and-water")
        out.seek(0)
        line = json.loads(out.read())
    print(line["message"], line["exec_id"])


if __name__ == "__main__":
    main()

"""What the environment says about the task run."""

from __future__ import annotations

import logging
import os
import uuid

from orchestra_sdk.errors import MissingEnvironmentKeysError, NoEnvironmentVariablesFoundError

__all__ = ["validate_environment"]

logger = logging.getLogger(__name__)

_KEY = "ORCHESTRA_TASK_RUN_ID"


def validate_environment() -> uuid.UUID | None:
    """The task run's id from the environment; what is missing or malformed is logged, never raised.

    Example:
        >>> import os
        >>> os.environ["ORCHESTRA_TASK_RUN_ID"] = "11111111-2222-4333-8444-555555555555"
        >>> validate_environment()
        UUID('11111111-2222-4333-8444-555555555555')
        >>> del os.environ["ORCHESTRA_TASK_RUN_ID"]
    """
    try:
        found = _task_run_id()
    except (MissingEnvironmentKeysError, NoEnvironmentVariablesFoundError) as error:
        logger.warning("%s", error.message)
    except ValueError as error:
        logger.error("Error processing environment variables: %s", error)
    else:
        logger.debug("Environment configured correctly for Orchestra.")
        return found
    return None


def _task_run_id() -> uuid.UUID:
    if not os.environ:
        raise NoEnvironmentVariablesFoundError
    if _KEY not in os.environ:
        raise MissingEnvironmentKeysError({_KEY})
    return uuid.UUID(os.environ[_KEY])

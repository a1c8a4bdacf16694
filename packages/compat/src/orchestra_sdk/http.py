"""One event to the webhook, now: the published client, on `orchestra.sdk`'s delivery."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from orca.common.errors import OrcaError
from orchestra.sdk import OrchestraSDK, WebhookEventType

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

__all__ = ["HTTPClient"]

logger = logging.getLogger(__name__)


class HTTPClient:
    """Sends events of one task run, each with a few tries and without an outbox.

    Args:
        api_key: The API key.
        task_run_id: The task run.
        webhook_url: Where events go.
    """

    def __init__(self, api_key: str, task_run_id: uuid.UUID, webhook_url: str) -> None:
        self.api_key = api_key
        self.task_run_id = task_run_id
        self.webhook_url = webhook_url

    def request(
        self,
        event_type: WebhookEventType,
        metadata: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        method: Literal["POST"] = "POST",
    ) -> bool:
        """Send one event and wait for its acknowledgement.

        Args:
            event_type: What it is.
            metadata: Must be empty: nobody documents what the platform does with more.
            json: The fields of the event: ``status`` and ``message``, ``output_name`` and ``output_value``,
                ``log_name`` and ``data``, or ``sensor_event_type`` and ``sensor_event``.
            method: POST.

        Returns:
            Whether it was acknowledged; the reason why not is logged.
        """
        sdk = OrchestraSDK(
            self.api_key,
            webhook_url=self.webhook_url,
            task_run_id=self.task_run_id,
            spool="memory",
            quiet=True,
        )
        try:
            return self._send(sdk, event_type, metadata or {}, dict(json or {}))
        except (OrcaError, TypeError) as error:
            logger.error("Could not send %s request to %s - %s", method, self.webhook_url, error)
            return False
        finally:
            sdk.close()

    def _send(
        self,
        sdk: OrchestraSDK,
        event_type: WebhookEventType,
        metadata: Mapping[str, Any],
        fields: dict[str, Any],
    ) -> bool:
        if metadata:
            raise TypeError(f"metadata is not sent: {', '.join(map(str, metadata))}")
        if event_type is WebhookEventType.UPDATE_STATUS:
            return sdk.update_task(**fields)
        if event_type is WebhookEventType.SET_OUTPUT:
            return sdk.set_output(**_renamed(fields, output_name="name", output_value="value"))
        if event_type is WebhookEventType.LOG:
            return sdk.send_log(**_renamed(fields, log_name="name"))
        return sdk.send_sensor_event(**_renamed(fields, sensor_event_type="event_type", sensor_event="event"))


def _renamed(fields: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}

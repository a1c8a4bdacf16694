"""Statuses of a task run and types of a webhook event; texts and synonyms are understood too."""

from __future__ import annotations

from orchestra.sdk import TaskRunStatus, WebhookEventType

__all__ = ["TaskRunStatus", "WebhookEventType"]

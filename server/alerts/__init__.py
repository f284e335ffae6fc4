"""Alerts: what the operator should know, once per key and repeat time, by mail, Slack and text message.

alerts.raise_alert(AlertKind.JOB_LATE, "daily_report", "job daily_report is late", "due 06:00, not started by 07:00")
"""

from __future__ import annotations

from server.alerts import webhooks  # registers the tasks that deliver
from server.alerts.alerts import Alerts
from server.alerts.kinds import AlertKind

__all__ = ["AlertKind", "Alerts", "webhooks"]

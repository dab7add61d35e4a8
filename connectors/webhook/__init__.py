"""Webhook: any HTTP endpoint, signed as Standard Webhooks has it."""

from connectors.webhook.connector import WebhookConnector

__all__ = ["WebhookConnector"]

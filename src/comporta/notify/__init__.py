"""Notices to people: webhooks, Slack-compatible chats, e-mail; kept in PostgreSQL, retried, shown."""

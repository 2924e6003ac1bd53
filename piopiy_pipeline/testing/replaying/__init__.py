"""Runs today's bot against a captured call, and says what differs."""

"""Providers that fail, hang, or do nothing while they seem to work, and what becomes of the call then."""

"""Dialogs and the calls within them (RFC 3261, sections 12 to 15)."""

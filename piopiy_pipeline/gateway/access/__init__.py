"""Access control: bearer tokens, API keys, client tokens, and the limit on failed logins."""

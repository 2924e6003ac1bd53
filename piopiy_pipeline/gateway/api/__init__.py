"""The HTTP API: calls under way and past, call control, client tokens, offers of browsers, and the console's files."""

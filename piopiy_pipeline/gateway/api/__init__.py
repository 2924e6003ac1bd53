"""The gateway's HTTP side: client tokens, offers of browsers, calls past and present, and the console's files."""

"""The SIP user agent: decides on requests, registers, authenticates, and finds whom to call."""

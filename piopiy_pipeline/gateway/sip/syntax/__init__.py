"""SIP messages, URIs and framing (RFC 3261, sections 7, 18.3, 19, 20 and 25)."""

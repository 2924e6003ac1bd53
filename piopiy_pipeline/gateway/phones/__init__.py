"""The telephone side of the gateway: SIP calls in and out as legs."""

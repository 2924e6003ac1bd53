"""The agents' side of the gateway: one signaling connection an agent, one media stream a call."""

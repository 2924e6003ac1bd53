"""SIP transactions (RFC 3261, section 17): state machines, their timers, and the layer that keeps them."""

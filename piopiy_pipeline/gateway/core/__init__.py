"""Which call is with which agent: state machines without I/O, which import nothing else of the gateway."""

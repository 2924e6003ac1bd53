"""RTVI, for a call whose client speaks it, and the pace at which its messages are sent."""

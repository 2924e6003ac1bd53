"""The gateway's numbers for operators, at ``/metrics``: what happens to calls, and whatever can fail."""

"""Numbers for operators: which there are (`family`), how they are counted, and how Prometheus reads them.

At the bottom, because the gateway and the agent's side count in the same way and must not import each other.
"""

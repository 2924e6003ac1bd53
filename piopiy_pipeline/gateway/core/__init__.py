"""State machines that know which call is with which agent. They have no I/O and import nothing else of the
gateway.
"""

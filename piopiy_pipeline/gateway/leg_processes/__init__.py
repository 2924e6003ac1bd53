"""Processes of the gateway that have callers' connections, while the callers' legs are in the gateway.

What a library does with a connection (a panic of its native code, a blocked thread, its CPU time) harms the calls of
one such process then, and no others. The legs of browsers and of Piopiy's cloud are of this kind.
"""

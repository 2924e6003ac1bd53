"""Piopiy's cloud: the gateway registers there as a worker, and each call from there is a room of LiveKit that it joins.

The client of the cloud's protocol is Piopiy's own package, piopiy-agent, and that of the rooms is LiveKit's. Both come
with the extra ``cloud``, and are imported only by a gateway with `[cloud]`.
"""

"""The agents' side of the gateway: one signaling connection for each agent, and one media stream for each
call.
"""

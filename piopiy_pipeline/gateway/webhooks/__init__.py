"""Webhooks: what happens to calls, POSTed to the operator's own servers, signed, and tried again.

What is told is made of what calls tell their watchers (`notices`), waits in a bounded queue (`outbox`,
the part that decides), and is sent by `sender`, which is all that knows of sockets. The format of the
messages and of their signatures is that of Standard Webhooks (https://www.standardwebhooks.com), version 1.
"""

"""Webhooks: what happens to calls, POSTed to the operator's own servers, signed, and tried again when it fails.

`webhook_messages` makes the messages from the events of the bus. `delivery_queue` keeps them and decides when
each is tried. `sender` is the only module with sockets. The messages and their signatures have the
format of Standard Webhooks (https://www.standardwebhooks.com), version 1.
"""

"""The phone's sound: RTP and RTCP, their payloads, and the sockets that carry them (RFC 3550, 3551, 4733)."""

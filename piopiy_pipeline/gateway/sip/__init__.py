"""SIP signalling: telephones, PBXs and trunks. No I/O but in `transport`; no media, which is `gateway.rtp`."""

"""What `piopiy load` is made of: callers over stream, SIP and WebRTC, their figures, thresholds, and the report."""

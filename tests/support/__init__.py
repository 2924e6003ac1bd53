"""What tests of several floors share: scripted services, callers, and waiting for a condition."""

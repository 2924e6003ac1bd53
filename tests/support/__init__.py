"""What tests of several floors share: services that follow a script, callers, waiting for a condition."""

"""What both sides of a call do to sound: pure functions and state machines over PCM, without I/O."""

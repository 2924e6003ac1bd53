"""What the stages of one call may stream: in size, in rate and in time."""

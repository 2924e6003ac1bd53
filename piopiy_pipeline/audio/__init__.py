"""Everything that gateway and agent do with audio: pure functions and state machines over PCM, without I/O."""

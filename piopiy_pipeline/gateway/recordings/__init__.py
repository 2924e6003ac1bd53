"""Recordings of calls as stereo WAV files, written while the call lasts."""

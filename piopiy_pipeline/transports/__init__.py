"""Carries audio to and from a pipeline: one pipecat transport in each file, and the parts that they share."""

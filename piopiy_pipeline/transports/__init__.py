"""How audio reaches a pipeline: one pipecat transport a file, and the parts that they share."""

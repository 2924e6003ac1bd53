"""A conversation that is led by a flow: nodes with tools, and edges between them, as pipecat's flows have them."""

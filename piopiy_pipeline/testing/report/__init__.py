"""The result of a simulated call: values, events, texts for people, and an HTML page."""

"""What a simulated call leaves behind: values, events, texts for people, and an HTML page."""

"""What the language models of a call are asked, what they write, and which of it counts."""

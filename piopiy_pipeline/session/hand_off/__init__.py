"""Who speaks to the caller: another persona may take the call over, with instructions, tools and a voice of its own."""

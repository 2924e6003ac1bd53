"""Who has the floor: when a sound of the caller over the bot's speech is an interruption, and when it is none."""

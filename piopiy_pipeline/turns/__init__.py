"""Who has the floor: when a sound over the bot's speech is an interruption, and when the caller's turn is over."""

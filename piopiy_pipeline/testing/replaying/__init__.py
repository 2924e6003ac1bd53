"""A recorded call once more, with today's bot, and what differs."""

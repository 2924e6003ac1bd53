"""What `piopiy chat` is made of: the chat, the one who shows it, and where its lines come from."""

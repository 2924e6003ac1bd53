"""The migrations, one in each file, from the first version on. A migration that was released is never edited."""

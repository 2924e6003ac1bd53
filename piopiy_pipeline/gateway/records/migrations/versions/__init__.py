"""The migrations, one a file, from the first version on. What was released is never edited."""

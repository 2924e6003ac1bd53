"""Alembic's folder: `env` runs the scripts of `versions`; `migrating` calls it."""

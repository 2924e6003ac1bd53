"""The folder of Alembic: `env` runs the scripts in `versions`. `gateway.records.migration` calls Alembic."""

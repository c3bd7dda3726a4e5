"""Alembic's migrations of the hub's database; run by the hub itself at start."""

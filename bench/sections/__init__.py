"""One file a section of the table."""

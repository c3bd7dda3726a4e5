"""From configuration directories to the snapshot of bots that the data plane reads."""

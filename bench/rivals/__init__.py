"""What the hub is compared with: each a server of its own, started on one core."""

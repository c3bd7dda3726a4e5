"""Bots shipped as examples, each real enough to copy."""

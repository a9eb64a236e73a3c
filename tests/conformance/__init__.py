"""What we do is held against what the systems that we answer to do."""

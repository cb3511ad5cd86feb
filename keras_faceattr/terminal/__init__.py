"""What long work shows while it runs: text, bars and lines of progress."""

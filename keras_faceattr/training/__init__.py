"""Training: optimizer, loop, checkpoints, initial weights."""

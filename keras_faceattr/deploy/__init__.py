"""Cost and speed of what is trained and shipped."""

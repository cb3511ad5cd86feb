"""The exported artifact: what the bytes of a file say, what it costs, its sidecar, and running it."""

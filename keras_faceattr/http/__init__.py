"""The HTTP server that the demo and a service share: requests that may be answered, and who listens for how long."""

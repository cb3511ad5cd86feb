"""The public API: one documented call for each thing that the command line does."""

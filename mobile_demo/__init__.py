"""The page of the demo: plain files for a browser."""

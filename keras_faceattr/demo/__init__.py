"""The page that runs artifacts in a browser: what it is made of, and who serves it."""

"""Finding faces and their five points."""

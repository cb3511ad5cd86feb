"""Tables of labels that come with the package."""

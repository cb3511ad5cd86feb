"""Two-stage methods: features of a face, then a regressor that is fitted on them."""

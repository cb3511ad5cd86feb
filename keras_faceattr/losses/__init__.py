"""Per-sample losses as pure functions of labels and a head's raw outputs, on every Keras backend."""

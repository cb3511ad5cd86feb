"""Calibration: what makes a net's probabilities and intervals hold, measured on photos that it was not trained on."""

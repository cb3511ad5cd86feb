"""From a trained run to a proven `.tflite` file: recipes, engines, conversion, inspection, parity, page."""

"""Quantization-aware training, native in Keras 3: folding, fake quantization, calibration, fine-tuning."""

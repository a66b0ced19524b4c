"""Handwritten digits, 8 x 8 pixels: a two-layer perceptron that fits every preset."""

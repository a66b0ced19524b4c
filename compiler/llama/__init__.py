"""Llama models on the core: calibration, quantisation, and the graph of one token."""

"""Llama-architecture models: what they are, files they come from, and what they say in fp32."""

"""What a Llama computes: in fp32 from the formulas, and as the core computes it."""

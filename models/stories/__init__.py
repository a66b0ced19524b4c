"""A 260 k parameter Llama that tells small stories: its corpus, its tokenizer, its training and its weights."""

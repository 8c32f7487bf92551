"""Florence-2, an encoder-decoder, learns to answer with JSON: low-rank adapters on its decoder."""

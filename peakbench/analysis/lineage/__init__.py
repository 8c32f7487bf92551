"""Where models come from, and what quantization and training did to them."""

"""Two runs side by side: their scores sample by sample, what changed, what it costs, which samples did it."""

"""Models in the order of a score: from runs, from a published table, with what cannot be told apart side by side."""

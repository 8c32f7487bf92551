"""The reader that ships: a small trained model that reads a garment from pixels, with NumPy alone."""

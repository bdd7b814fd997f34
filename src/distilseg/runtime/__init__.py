"""A trained student where no training software is installed: NumPy, nibabel and one inference engine."""

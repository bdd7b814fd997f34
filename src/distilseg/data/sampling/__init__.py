"""From prepared cases to batches: patches or slices of them, augmented."""

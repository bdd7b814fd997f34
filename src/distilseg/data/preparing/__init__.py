"""From scans to the arrays that a network sees: turned, cropped, resampled, normalised; kept on disk."""

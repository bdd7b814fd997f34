"""Models that others trained: opened as data, run as they were meant to be, never asked live."""

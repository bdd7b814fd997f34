"""Experiments run: what is learned from, one loop, and the run folder that comes of it."""

"""From files to batches, in wings; their order is drawn in `docs/explanation/architecture.md`."""

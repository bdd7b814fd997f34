"""What was measured of a dataset and what was decided from it: the plan, and which cases train and test."""

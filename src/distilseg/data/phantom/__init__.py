"""Made-up cases with known structures: for the demo, the tutorials and the tests."""

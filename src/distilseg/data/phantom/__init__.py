"""Made-up cases with known structures: for the demo, the tutorials and the tests."""

REFERENCE = "distilseg's own phantom"  # in a description: what says that its scans are computed
SYNTHETIC = "SYNTHETIC: these scans are computed, and show how the tool works; no patient, no claim"

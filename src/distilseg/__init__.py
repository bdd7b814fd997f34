"""distilseg: big medical-image segmentation models made small and fast, and judged on real scans.

Every command of the command line is a function of the same name in `distilseg.commands`.
This module imports nothing heavy, so `distilseg --help` answers at once.
"""

__version__ = "0.2.0"

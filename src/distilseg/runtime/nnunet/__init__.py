"""nnU-Net v2's own way from scans to label maps, on NumPy: neither torch nor SciPy nor nnU-Net is needed.

preparation.py   what a configuration does to a scan, as values; what an artefact's preparation.json holds
prepare.py       from scans to what the network is shown
resample.py      splines, coarse axes, labels
holes.py         the body without its holes
windows.py       where windows stand and what they count
blend.py         windows, mirrors, folds
restore.py       from logits to the scan
predictor.py     an artefact in memory

`teachers/nnunet` reads models of nnU-Net's and runs them through the same files.
"""

"""A MONAI bundle's way from scans to label maps, on NumPy: neither torch nor MONAI is needed.

shown.py        scans on their way to the network, and the way back
affine.py       values at the voxels of another grid; where MONAI puts that grid
spatial.py      the transforms of a preprocessing that change the grid, as values
intensity.py    those that change the values of voxels
transforms.py   all of them
strict.py       how strictly they are read from a file
windows.py      how a network is shown a volume
post.py         from logits to labels
way.py          what an artefact's preparation.json holds
predictor.py    an artefact in memory

`teachers/monai_bundle` reads bundles and runs them through the same files.
"""

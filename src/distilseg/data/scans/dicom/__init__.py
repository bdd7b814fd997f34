"""DICOM: a folder with anything in it becomes volumes, or refusals of one line; never a volume that is wrong.

    looking.py     whether DICOM lies in a folder, by content, whatever its files are called
    finding.py     what each file says, by process.py
    process.py     a process apart, where pydicom and codecs meet strangers' files: header.py and
                   seg_header.py say what they are, pixels.py and itk_pixels.py what is seen,
                   labels_process.py the labels of a SEG on a grid
    plane.py       one image with its place in the patient: a file of a series, or a frame of an enhanced one
    sorting.py     the planes of a series -> stacks: doubles dropped, echoes and b-values told apart
    stack.py       a stack -> a grid, or why it is none: a gap, a jump, a tilt
    series.py      all of it: `found_in(folder)`
    voxels.py      a volume's voxels, each plane with its own rescaling
    reading.py     a volume as a scan, like a file type of its own
    rules.py       which series of a study is meant
    segments.py    what a SEG holds, and of which series it may be; frames.py: its pixels as voxels there
    labels.py      the label map that SEGs paint on the planes of a series
    segmentation.py  labels as DICOM SEG, by seg_process.py, and report_process.py their volumes
    codes.py       what classes are called in SNOMED CT
    tilt.py        a sheared stack onto a grid with right angles, and labels back onto the planes

Coordinates in files are LPS+ mm; an affine is ours, voxel index -> RAS+ mm. Axes: I along a row (columns), J
down the rows, K along the normal. Names and identifiers of patients are never told: not in a message, nor in
what a case is called. UIDs stay in memory, and are digests in what is written.
"""

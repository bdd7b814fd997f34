"""A service beside the PACS: studies come in, DICOM SEG goes back, and nobody watches.

    peers.py      who is spoken to: application entities by title, host and port
    spool.py      studies on disk; what state one is in is which folder it lies in
    arriving.py   images as they come, and when a study is whole
    settling.py   what becomes of a whole study: new, the same again, grown, or lacking what came before
    receiving.py  C-STORE and C-ECHO in
    archive.py    DICOMweb: QIDO and WADO in, STOW back
    looking.py    which studies of an archive are fetched
    predicting.py a prediction in a process of its own, predict_process.py
    sending.py    C-STORE back, again and again until it is taken
    health.py     lines of the log, and status.json
    service.py    all of it, one study at a time

A study is called by a digest of its UID, in names and in lines: what identifies a patient stands in the
images in the spool and in the SEG, nowhere else. No torch.
"""

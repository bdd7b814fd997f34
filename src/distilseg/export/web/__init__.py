"""A student as one page: ONNX, the mirror of `runtime` in TypeScript (`web/` in the repository), a viewer.

making     a run, or an artefact, as a page
page       the page, or the folder for a web server, whole or not at all
model      what the page knows of its model
golden     the case on board that shows that it computes what the exporter did
knowing    what the mirror knows; all else is refused by name
built      its programs, as package data
"""

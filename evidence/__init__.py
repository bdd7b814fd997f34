"""What distillation did on real scans: a folder for each study, and one small library for all of them.

    STUDY/jobs.py      what is run: `DATA`, and `jobs(...)`, stages of jobs; its parameters are options of the
                       command line. Where it differs: `prepare`, `train_one`, `collect`
    STUDY/rows.py      which run is which row of the tables, which rows are compared: `read`; further names
                       for the page: `names`
    STUDY/page.md      the page, written by a person; numbers and verdicts enter by name (see page.py)
    STUDY/summary.md   what the overview shows of it, between <!-- STUDY:begin --> and <!-- STUDY:end -->
    STUDY/figures.py   its figures: `draw`

Two documents speak of all studies: readme.md, and which.md, which says which method to take. A line of each
paper in `distilseg recipes` (`WHEN` in its file) says the same, and tests hold its figures to results/.

A new study is such a folder and a line in mkdocs.yml; one without results yet has no page.md.
`python -m evidence STUDY run|collect|page`.
"""

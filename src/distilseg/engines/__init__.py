"""Engines hand out command lines of ours; files and claims stay the only truth about what is done.

    submission.py   the folder beside the results that says what was handed out, a line an element
    element.py      one such line in a process of its own, started again where it dies, at most four times
    tied.py         that process: it ends with whoever started it
    resources.py    what an element is given: cores, GPUs, memory, time

    local.py        processes of this machine     slurm.py   job arrays, by plain files for sbatch
    dask.py         workers of Dask               ray.py     tasks of Ray

An engine is a function `hand_out(submission, numbers, ended, ...)`, which has the elements of these numbers
run and tells `ended` of each; SLURM's returns at once, as its queue outlives it. None knows what an element
does. An element that is run twice, one after the other or at once, leaves what it leaves when it is run once:
results are whole files with one owner. So a worker that dies costs time alone, whoever notices it.

Standard library only, but for the programs that are asked.
"""

ENGINES = ("local", "slurm", "dask", "ray")

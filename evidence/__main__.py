"""`python -m evidence STUDY run|collect|page`: trains what a study needs, keeps the data, writes its page.

run       hours; repeat it after an interruption, it resumes
collect   finished runs -> results/STUDY; some studies time what they ship: leave the machine alone
page      results/STUDY -> docs/evidence/STUDY.md, its figures, its part of the overview; README and advice
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import page
from .collecting import collect
from .jobs import run_all, train_and_judge


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; a study's own options are the parameters of its `jobs`, in JSON."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m evidence", description=__doc__, formatter_class=raw)
    parser.add_argument("study", choices=page.known())
    parser.add_argument("what", choices=["run", "collect", "page"])
    parser.add_argument("--data", help="folder of the scans; by default in $DISTILSEG_DATA or ../shared/data")
    parser.add_argument("--runs", help="by default runs/evidence/STUDY")
    parser.add_argument("--results", type=Path, help="by default results/STUDY")
    parser.add_argument("--out", type=Path, help="a trial of the page in this folder; all else stays")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="jobs side by side")
    parser.add_argument("--job", type=int, help="this one alone, in this process")
    given, own = parser.parse_known_args(arguments)
    if own and given.what != "run":
        parser.error(f"{given.what} does not take {' '.join(own)}")
    if given.what == "page" and given.study not in page.studies():
        sys.exit(f"{given.study} has no page yet: write its page.md once results/{given.study} is there")
    if given.what == "page":
        page.write(given.study, given.results, given.out)
        return
    study = page.part(given.study, "jobs")
    if study is None:
        sys.exit(f"{given.study} trains nothing; its page says where its numbers come from")
    runs = given.runs or f"runs/evidence/{given.study}"
    if given.what == "collect":
        getattr(study, "collect", collect)(runs, given.results or page.RESULTS / given.study)
        return
    data = given.data or os.path.join(os.environ.get("DISTILSEG_DATA", "../shared/data"), study.DATA)
    options = argparse.ArgumentParser(prog=f"python -m evidence {given.study} run")
    for name, parameter in inspect.signature(study.jobs).parameters.items():
        options.add_argument(f"--{name.replace('_', '-')}", type=json.loads, default=parameter.default)
    told = vars(options.parse_args(own))
    stages = study.jobs(**told)
    if given.job is None:
        if prepare := getattr(study, "prepare", None):
            prepare(data, runs)
        run_all(stages, [given.study, "run", "--data", data, "--runs", runs, *own], given.processes)
    else:
        job = [job for stage in stages for job in stage][given.job]
        getattr(study, "train_one", train_and_judge)(job, data, runs)


if __name__ == "__main__":
    main()

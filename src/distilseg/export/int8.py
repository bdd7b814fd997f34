"""Whether a network's int8 form is as good as its float form: Dice before and after, on cases that judge.

Three sets of cases, none of them in two: those whose windows calibrate the ranges (training cases), those by
which layers are given back to float (validation cases) and those that judge. Where the drop of the mean Dice
over the structures is above what is allowed, the layers that hurt most stay in float, 1, 2, 4, ... up to half
of them; where that does not help, the network does. So it does where int8 is slower on this machine, timed on
windows of a real case in turns with float; whoever wants its size, or ships to another machine, says so.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.case import Dataset
from ..data.planning.splits import Split
from ..data.scans.reading import read_scans
from ..errors import UserError
from ..hardware import processor
from ..runtime.engine import Arrays
from ..runtime.predictor import ArtefactPredictor
from .judging import MOST_TUNING, Scores, dice_scores, drop
from .quantise import by_harm, engine_of, layers, write_int8
from .quantised import MAX_DICE_DROP, Quantised, kept

CALIBRATION_CASES = 10
_MOST_WINDOWS, _RANKING_WINDOWS = 64, 8
_TIMED_S, _TIMED_CALLS = 2.0, 31


def quantise(
    network: Path,
    artefact: ArtefactPredictor,
    dataset: Dataset,
    split: Split,
    judging: Sequence[str],
    *,
    calibrator: ArtefactPredictor | None = None,
    max_dice_drop: float = MAX_DICE_DROP,
    calibration_cases: int = CALIBRATION_CASES,
    even_if_slower: bool = False,
) -> Quantised:
    """Puts the int8 form of `network` (.xml) in its place where the cases `judging` allow it, and the clock.

    `artefact` predicts by the network in float; so does `calibrator`, in windows of training, which are small
    enough to keep some. `max_dice_drop`: points of the mean Dice. `even_if_slower`: the clock is not asked.
    Raises UserError where no case is left to calibrate on, or NNCF is missing.
    """
    calibrating, tuning = _other_cases(split, judging, calibration_cases)
    shown, windows = _windows(calibrator or artefact, dataset, calibrating)

    def scores(run: Arrays, ids: Sequence[str]) -> Scores:
        return dice_scores(replace(artefact, network=run), dataset, ids)

    with tempfile.TemporaryDirectory() as folder:
        int8 = Path(folder) / network.name
        in_float = _search(
            network, int8, windows, lambda run: scores(run, tuning), max_dice_drop, before=artefact.network
        )
        run = engine_of(int8)
        before, after = scores(artefact.network, judging), scores(run, judging)
        lost = drop(before, after)
        timed = [engine_of(path, threads=artefact.threads) for path in (network, int8)]
        milliseconds = [1000 * seconds for seconds in _timed(timed, shown)]
        sizes, count = [_bytes(path) for path in (network, int8)], len(layers(network))
        form = kept(lost, max_dice_drop, *milliseconds, even_if_slower=even_if_slower)
        if form == "int8":
            for file in _files(int8):
                shutil.copyfile(file, network.parent / file.name)
    return Quantised(
        kept=form,
        cases=len(judging),
        calibration_cases=len(calibrating),
        calibration_windows=len(windows),
        dice_float=before,
        dice_int8=after,
        drop=lost,
        max_dice_drop=max_dice_drop,
        layers=count,
        layers_in_float=in_float,
        bytes_float=sizes[0],
        bytes_int8=sizes[1],
        milliseconds_float=milliseconds[0],
        milliseconds_int8=milliseconds[1],
        timed_on=processor(),
        even_if_slower=even_if_slower,
        labelled_by=dataset.labelled_by,
    )


def _search(
    network: Path,
    int8: Path,
    windows: Sequence[NDArray[np.float32]],
    scores: Callable[[Arrays], Scores],
    max_dice_drop: float,
    *,
    before: Arrays,
) -> tuple[str, ...]:
    """Writes the best form to `int8`; returns the layers that stay in float, the worst."""
    at_best, expected = float("inf"), scores(before)
    chosen: tuple[str, ...] = ()
    ranked: list[str] = []
    n, most = 0, len(layers(network)) // 2
    trial = int8.with_name("trial.xml")
    while n <= most:
        if n and not ranked:
            ranked = by_harm(network, int8.parent, windows[:: max(1, len(windows) // _RANKING_WINDOWS)])
        write_int8(network, trial, windows, in_float=ranked[:n])
        lost = drop(expected, scores(engine_of(trial)))
        if lost < at_best:
            at_best, chosen = lost, tuple(ranked[:n])
            for file, kept in zip(_files(trial), _files(int8), strict=True):
                shutil.copyfile(file, kept)
        if lost <= max_dice_drop:
            break
        n = max(1, 2 * n)
    return chosen


def _other_cases(split: Split, judging: Sequence[str], n: int) -> tuple[list[str], list[str]]:
    """Cases to calibrate on, evenly from those that trained, and to choose layers by."""
    training = [id for id in split.train if id not in judging]
    validating = [id for id in split.validation if id not in judging]
    calibrating = _evenly(training or validating, n)
    if not calibrating:
        raise UserError(
            "int8 is calibrated on training cases, and every one of them judges", "name fewer --cases"
        )
    tuning = [id for id in validating if id not in calibrating][:MOST_TUNING]
    return calibrating, tuning or calibrating


def _evenly(of: Sequence[Any], n: int) -> list[Any]:
    """At most `n` of them, spread over the whole."""
    return [of[index * len(of) // n] for index in range(n)] if len(of) > n else list(of)


def _windows(
    artefact: ArtefactPredictor, dataset: Dataset, ids: Sequence[str]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The first windows that the network is shown at once [N M *P]; and some of every case, each [1 M *P]."""
    seen: list[NDArray[np.float32]] = []

    def noting(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(windows.copy())
        return artefact.network(windows)

    chosen: list[NDArray[np.float32]] = []
    first: NDArray[np.float32] | None = None
    watched = replace(artefact, network=noting)
    for id in ids:
        case = dataset.case(id)
        scans = read_scans({name: case.images[name] for name in artefact.plan.modalities})
        watched.logits(watched.prepare(scans, case=id).image, case=id)
        first = seen[0] if first is None else first
        single = [window[None] for windows in seen for window in windows]
        chosen += _evenly(single, max(1, _MOST_WINDOWS // len(ids)))
        seen.clear()
    assert first is not None
    return first, chosen


def _timed(networks: Sequence[Arrays], windows: NDArray[np.float32]) -> list[float]:
    """Median seconds of a call of each; in turns, so that what else the machine does meets them alike."""
    spent: list[list[float]] = [[] for _ in networks]
    for network in networks:
        network(windows)
    while len(spent[-1]) < _TIMED_CALLS and sum(map(sum, spent)) < _TIMED_S:
        for network, times in zip(networks, spent, strict=True):
            start = time.perf_counter()
            network(windows)
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in spent]


def _files(network: Path) -> tuple[Path, Path]:
    return network, network.with_suffix(".bin")


def _bytes(network: Path) -> int:
    return sum(file.stat().st_size for file in _files(network))

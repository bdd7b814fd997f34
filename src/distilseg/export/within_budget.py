"""The best plan that a budget of seconds and memory allows on this machine.

Candidates come in the order of what they are worth (`candidates.py`), and the first that fits is taken; so no
smaller budget is answered with a dearer plan. Seconds are of the case of median size and memory is of the
largest, each predicted by itself. A coarser spacing is looked at only where no finer one fits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.case import Case, Dataset
from ..data.planning.decide import make_plan
from ..data.planning.fingerprint import Fingerprint
from ..data.planning.levels import times
from ..data.planning.plan import Plan
from ..errors import UserError
from .candidates import COARSER, NETWORKS, OVERLAPS, coarser, drafts, shapes_of, worth
from .cost_model import CaseCost, NetworkCost, cut, fitted, peak_bytes, seconds
from .cost_probe import Machine, Measured

UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


@dataclass(frozen=True)
class Limits:
    """A budget."""

    seconds: float = math.inf  # of the median case, end to end after loading
    bytes: float = math.inf  # of the process at its peak, with the largest case


@dataclass(frozen=True)
class Candidate:
    """A plan with network and overlap, and what it is predicted to cost."""

    plan: Plan
    median_s: float
    largest_s: float
    peak_bytes: float
    activation_bytes: float = 0.0  # that the engine keeps for the largest case, of the peak

    def fits(self, limits: Limits) -> bool:
        """Whether it is predicted to stay within both."""
        return self.median_s <= limits.seconds and self.peak_bytes <= limits.bytes

    @property
    def named(self) -> tuple[tuple[float, ...], str, float]:
        """Spacing, network and overlap: what candidates are told apart by, but for the patch."""
        return self.plan.spacing_mm, str(self.plan.network), self.plan.overlap or 0.0

    def excess(self, limits: Limits) -> float:
        """By what factor it misses the budget, in the dimension where it misses it more."""
        return max(self.median_s / limits.seconds, self.peak_bytes / limits.bytes)


@dataclass(frozen=True)
class WithinBudget:
    """The plan, what was considered, and how the prediction of the one that was chosen turned out."""

    plan: Plan
    limits: Limits
    considered: tuple[Candidate, ...]  # in order of preference
    chosen: Candidate
    cases: tuple[Case, Case]  # of median and of largest size
    measured: tuple[Measured, Measured]
    machine: str

    def best_patches(self) -> list[Candidate]:
        """Of each spacing, network and overlap the patch that fits, or is nearest to it; in order."""
        found: dict[Any, Candidate] = {}
        for one in self.considered:
            known = found.setdefault(one.named, one)
            if not known.fits(self.limits) and one.excess(self.limits) < known.excess(self.limits):
                found[one.named] = one
        return list(found.values())


def limits_of(max_seconds: float | None, max_memory: str | float | None) -> Limits:
    """A budget as users write it: seconds, and bytes or a size such as "800MB", "1GB" or "1GiB"."""
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise UserError(
            f"a case cannot take {max_seconds:g} s at most", "give --max-seconds above 0, such as 1"
        )
    return Limits(
        math.inf if max_seconds is None else float(max_seconds),
        math.inf if max_memory is None else bytes_of(str(max_memory)),
    )


def bytes_of(text: str) -> float:
    """A size of memory as users write it: bytes, or such as "800MB"."""
    units = {unit.lower(): size for unit, size in UNITS.items()}
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in units or float(match[1]) <= 0:
        raise UserError(
            f"{text!r} is no size of memory",
            f"write it as 800MB, 1GB or 1GiB ({', '.join(filter(None, UNITS))})",
        )
    return float(match[1]) * units[match[2]]


def plan_within(
    dataset: Dataset,
    fingerprint: Fingerprint,
    limits: Limits,
    machine: Machine,
    *,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> WithinBudget:
    """The first candidate that is predicted to fit `limits`, measured on the median and the largest case.

    `options` are those of `make_plan`; a spacing or a patch that they give is kept. Raises `UserError` where
    nothing fits, with the budget that would do, and where no student takes the plan.
    """
    steps, options = _Steps(progress), {name: given for name, given in options.items() if given is not None}
    planned = make_plan(dataset, fingerprint, **options)
    cases = _cases(dataset, fingerprint, planned)
    considered: list[Candidate] = []
    networks: dict[str, NetworkCost] = {}
    for factor in (1.0,) if "spacing_mm" in options else COARSER:
        plan = planned if factor == 1 else coarser(dataset, fingerprint, planned, factor, options)
        if plan is None:
            continue
        patch, found = plan.patch, drafts(plan, fingerprint, keep_patch="patch" in options)
        if not found:
            continue
        networks = networks or _networks(found, machine, steps)
        if limits.bytes < math.inf and not all(network.loaded_bytes for network in networks.values()):
            raise UserError("this system does not tell what memory a process holds", "leave out --max-memory")
        steps.ahead(1)
        beside = machine.beside(found[-1], cases)
        steps.done()
        costed = [_candidate(draft, networks[str(draft.network)], beside, machine) for draft in found]
        considered += sorted(costed, key=lambda one: (*worth(one.plan, patch), one.median_s))
        if any(one.fits(limits) for one in costed):
            break
    chosen = _first_that_fits(considered, limits, planned, free="spacing_mm" not in options)
    plan = _with_reasons(chosen, planned, limits)
    steps.ahead(1)
    median, largest = machine.end_to_end(plan, cases)
    steps.done()
    return WithinBudget(plan, limits, tuple(considered), chosen, cases, (median, largest), machine.named)


class _Steps:
    """How far it is, while more turns out to be needed."""

    def __init__(self, progress: Callable[[int, int], object] | None) -> None:
        self.tell, self.so_far, self.total = progress or (lambda done, total: None), 0, 0

    def ahead(self, more: int) -> None:
        self.total += more
        self.tell(self.so_far, self.total)

    def done(self) -> None:
        self.so_far += 1
        self.tell(self.so_far, self.total)


def _cases(dataset: Dataset, fingerprint: Fingerprint, plan: Plan) -> tuple[Case, Case]:
    """Those of median and of largest size, in voxels once they are prepared."""
    order = np.argsort(shapes_of(fingerprint, plan).prod(axis=1), kind="stable")
    ids = [fingerprint.cases[order[place]].id for place in ((len(order) - 1) // 2, -1)]
    return dataset.case(ids[0]), dataset.case(ids[1])


def _networks(plans: Sequence[Plan], machine: Machine, steps: _Steps) -> dict[str, NetworkCost]:
    """Each student, fitted to the smallest and the largest patch that it may be given."""
    probes: dict[str, list[Plan]] = {}
    for name in NETWORKS:
        own = [plan for plan in plans if plan.network == name and plan.overlap == OVERLAPS[0]]
        own.sort(key=lambda plan: math.prod(plan.patch))
        probes |= {name: own[:1] + own[1:][-1:]} if own else {}
    steps.ahead(sum(map(len, probes.values())))
    found = {}
    for name, own in probes.items():
        single, blended, activations, loaded = [], [], [], []
        for plan in own:
            gmac, one = machine.gmac(plan), machine.windows(plan)
            single.append((gmac, one.window_s))
            blended.append((gmac, one.blended_s))
            activations += [(gmac * n, added) for n, added in one.activations]
            loaded.append(one.loaded_bytes)
            steps.done()
        found[name] = NetworkCost(fitted(single), fitted(blended), max(loaded), fitted(activations))
    return found


def _candidate(plan: Plan, network: NetworkCost, cases: Sequence[CaseCost], machine: Machine) -> Candidate:
    gmac, (median, largest) = machine.gmac(plan), cases
    return Candidate(
        plan,
        seconds(plan, gmac, network, median),
        seconds(plan, gmac, network, largest),
        peak_bytes(plan, gmac, network, largest),
        network.activation_bytes(gmac * cut(plan, largest.working_shape).at_once),
    )


def _first_that_fits(
    considered: Sequence[Candidate], limits: Limits, planned: Plan, *, free: bool
) -> Candidate:
    if not considered:
        raise UserError(
            f"no student takes the plan's patch of {times(planned.patch)} voxels with"
            f" {len(planned.strides)} levels",
            "give another --patch, or 3 to 5 --levels",
        )
    for one in considered:
        if one.fits(limits):
            return one
    cheapest = min(considered, key=lambda one: one.excess(limits))
    needs = [f"{cheapest.median_s:.2g} s for the median case"] * (limits.seconds < math.inf)
    needs += [f"{size(cheapest.peak_bytes)} for the largest"] * (limits.bytes < math.inf)
    would_do = [f"--max-seconds {_above(cheapest.median_s):g}"] * (limits.seconds < math.inf)
    would_do += [f"--max-memory {_above(cheapest.peak_bytes / 1e6):g}MB"] * (limits.bytes < math.inf)
    coarsest = f", up to {COARSER[-1]:g} times the planned spacing" if free else ""
    raise UserError(
        f"nothing fits {budget(limits)} on this machine{coarsest}: the cheapest, {told(cheapest.plan)}, needs"
        f" {' and '.join(needs)}",
        f"give {' '.join(would_do)}",
    )


def _with_reasons(chosen: Candidate, planned: Plan, limits: Limits) -> Plan:
    plan, reasons = chosen.plan, dict(chosen.plan.reasons)
    place = NETWORKS.index(str(plan.network))
    reasons["network"] = (
        f"the largest student that fits {budget(limits)} on this machine: predicted are"
        f" {chosen.median_s:.2g} s for the median case, {chosen.largest_s:.2g} s and"
        f" {size(chosen.peak_bytes)} for the largest"
        + (f"; {', '.join(NETWORKS[:place])} would not fit" if place else "")
    )
    reasons["overlap"] = (
        "the most that fits" if plan.overlap != OVERLAPS[0] else "as much as is useful; it fits"
    )
    if plan.patch != planned.patch and reasons.get("patch") != "given":
        larger = math.prod(plan.patch) >= math.prod(planned.patch)
        reasons["patch"] = (
            f"{'larger' if larger else 'smaller'} than {times(planned.patch)}, which the cases alone would"
            f" suggest: {'fewer voxels are seen twice' if larger else 'more would not fit the budget'}"
        )
    if plan.spacing_mm != planned.spacing_mm:
        reasons["spacing_mm"] = (
            f"coarser than {listed(planned.spacing_mm)} mm, {planned.reasons['spacing_mm']}: nothing"
            " finer fits"
        )
    fitted_bytes = limits.bytes - chosen.peak_bytes + chosen.activation_bytes
    if plan.slice_axis is None and fitted_bytes < math.inf:
        reasons["window_bytes"] = (
            f"what {size(limits.bytes)} leave to windows that an artefact fits to scans; they only save time"
        )
        plan = plan.model_copy(update={"window_bytes": int(fitted_bytes)})
    return plan.model_copy(update={"reasons": reasons})


def told(plan: Plan) -> str:
    """A candidate in words."""
    return (
        f"{plan.network} at {listed(plan.spacing_mm)} mm in windows of {times(plan.patch)} that overlap by"
        f" {plan.overlap:g}"
    )


def budget(limits: Limits) -> str:
    """In words."""
    parts = [f"{limits.seconds:g} s a case"] * (limits.seconds < math.inf)
    return " and ".join([*parts, *[size(limits.bytes)] * (limits.bytes < math.inf)])


def size(n_bytes: float) -> str:
    """Such as 310 MB or 1.2 GB."""
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"


def listed(spacing_mm: Sequence[float]) -> str:
    return "x".join(f"{mm:g}" for mm in spacing_mm)


def _above(value: float) -> float:
    """A round number a tenth above, for what one asks for next."""
    value *= 1.1
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.3g}")

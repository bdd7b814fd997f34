"""Compares the first losses of two commits, every term of every recipe, step by step, bit for bit.

    python scripts/compare_losses.py main                     # a commit against the working tree
    python scripts/compare_losses.py v0.1.0 HEAD              # two commits
    python scripts/compare_losses.py main --recipes supervised dsd_t4 --steps 20
    python scripts/compare_losses.py main --same-smoke        # where how losses are recorded changed, too

A refactoring shows that every recipe is "equal for 5 steps". A change of method shows the first step and term
that differ, and its commit says why; then the recorded tables are made anew (tests/golden/record_losses.py).
`learning_rate` is compared like a term. What learns computes in float64, so a difference in the last digits
is another order of sums; `--rtol 1e-5` looks past it.

Each commit is checked out into a temporary git worktree and trains its own smoke recipes, or this tree's if
it has none or `--same-smoke` asks for it, on one thread of this machine (about a minute). A recipe that only
one side has is named, and is no difference. Exit code: 0 equal, 1 different, 2 could not be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMOKE = Path("tests/golden/record_losses.py")
WORKING_TREE = "the working tree"

Rows = Sequence[dict[str, str]]


class CannotCompareError(Exception):
    """Why there is no answer, for the user."""


@dataclass(frozen=True)
class Difference:
    """The first value that is not the same; None where a side has none."""

    step: int
    term: str
    a: float | None
    b: float | None

    def __str__(self) -> str:
        where = f"step {self.step}, {self.term}"
        if self.a is None or self.b is None:
            return f"{where}: only in {'B' if self.a is None else 'A'}"
        relative = abs(self.a - self.b) / max(abs(self.a), abs(self.b))
        return f"{where}: {self.a:.9g} -> {self.b:.9g} (relative {relative:.1e})"


def first_difference(a: Rows, b: Rows, rtol: float = 0.0) -> Difference | None:
    """The first step and term where |a - b| > rtol max(|a|, |b|), or that only one side has."""
    for i in range(max(len(a), len(b))):
        row_a, row_b = (rows[i] if i < len(rows) else {} for rows in (a, b))
        # Terms before their sum: they say where it comes from.
        terms = sorted(dict.fromkeys([*row_a, *row_b]), key=lambda term: term == "total")
        for term in terms:
            x, y = (float(row[term]) if row.get(term) else None for row in (row_a, row_b))
            same = x == y if x is None or y is None else abs(x - y) <= rtol * max(abs(x), abs(y))
            if not same:
                return Difference(i + 1, term, x, y)
    return None


def compare(a: dict[str, Rows], b: dict[str, Rows], rtol: float = 0.0) -> bool:
    """Prints a line per recipe; whether every recipe that both sides have is equal."""
    if not a.keys() & b.keys():
        raise CannotCompareError(
            f"no recipe in common; A: {', '.join(a) or 'none'}; B: {', '.join(b) or 'none'}"
        )
    names = [*a, *(name for name in b if name not in a)]
    width = max(map(len, names))
    equal = True
    for name in names:
        if name not in a or name not in b:
            print(f"{name:{width}}  only in {'A' if name in a else 'B'}")
            continue
        difference = first_difference(a[name], b[name], rtol)
        equal &= difference is None
        print(f"{name:{width}}  {difference or f'equal for {len(a[name])} steps'}")
    return equal


@contextlib.contextmanager
def tree_of(commit: str | None, aside: Path) -> Iterator[Path]:
    """The project's folder at `commit`, checked out at `aside`; None: as it stands here."""
    if commit is None:
        yield ROOT
        return
    _git("worktree", "add", "--detach", str(aside), commit)
    try:
        yield aside
    finally:
        _git("worktree", "remove", "--force", str(aside))


def give_smoke(trees: Sequence[Path]) -> None:
    """Puts this tree's way of recording losses in the place of the others' own."""
    for tree in trees:
        if tree != ROOT and (tree / SMOKE).is_file():
            shutil.copy(ROOT / SMOKE, tree / SMOKE)


def losses_of(tree: Path, name: str, to: Path, steps: int, recipes: Sequence[str]) -> dict[str, Rows]:
    """Trains the smoke recipes with the code in `tree`, in a process of its own; tables by recipe.

    `name` is what the user calls the tree.
    """
    home = tree if (tree / SMOKE).is_file() else ROOT
    command = [sys.executable, "-m", ".".join(SMOKE.with_suffix("").parts), "--to", str(to)]
    command += ["--steps", str(steps), "--recipes", *recipes]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCompareError(
            f"the recipes of {name} do not run:\n" + "\n".join(done.stderr.splitlines()[-8:])
        )
    trained_with = Path(done.stdout.splitlines()[0])  # an equal answer from the wrong code would be the worst
    if not trained_with.samefile(tree / "src" / "distilseg"):
        raise CannotCompareError(f"{name}: trained with {trained_with} in place of {tree / 'src'}")
    return {path.stem: _read(path) for path in sorted(to.glob("*.csv"))}


def _read(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCompareError(done.stderr.strip())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", metavar="A", help="a commit")
    parser.add_argument("b", metavar="B", nargs="?", help="another (default: the working tree)")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=[], help="these alone (default: all)")
    parser.add_argument(
        "--rtol", type=float, default=0.0, help="relative difference that still counts as equal"
    )
    parser.add_argument(
        "--same-smoke", action="store_true", help=f"train this tree's {SMOKE.name} on both sides"
    )
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            aside = Path(name)
            trees = [
                stack.enter_context(tree_of(commit, aside / side))
                for side, commit in (("a", given.a), ("b", given.b))
            ]
            if given.same_smoke:
                give_smoke(trees)
            if len({(tree / SMOKE).read_bytes() for tree in trees if (tree / SMOKE).is_file()}) > 1:
                print(f"note: {SMOKE} is not the same on both sides; --same-smoke trains this tree's")
            names, to = (given.a, given.b or WORKING_TREE), (aside / "losses of a", aside / "losses of b")
            with ThreadPoolExecutor(2) as pool:
                sides = [
                    pool.submit(losses_of, *side, given.steps, given.recipes)
                    for side in zip(trees, names, to, strict=True)
                ]
                a, b = (side.result() for side in sides)
            print(f"A: {names[0]}, B: {names[1]}")
            return 0 if compare(a, b, given.rtol) else 1
    except CannotCompareError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""The page of claims about speed and memory, written from results/benchmarks-*.csv and the profile alone.

python scripts/evidence_claims_page.py
"""

from __future__ import annotations

from evidence_tables import ROOT

from distilseg.runs import read_rows

RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "evidence" / "claims.md"
Rows = list[dict[str, str]]

INTRODUCTION = """\
# Claims of speed and memory

*Written by `python scripts/evidence_claims_page.py` from `results/`; do not edit.*

Every claim is a ratio, ours and the peer in turns within one run, the median of the repeats. `make bench` makes all
rows again on your machine and writes them to `results/`; the load beside a row says how busy the machine was. For
`<=` the ratio is ours / peer, for `>=` peer / ours. Plans for a budget compare a prediction with its measurement: the
ratio is ours / peer or peer / ours, whichever is larger.
"""

PROFILE = """\
## Why a step of dual self-distillation misses its aim

The aim was 1.05 plain steps; the paper reports 1.13 on a GPU. The parts below are shares of a plain step, measured
one by one (`python -m benchmarks.profile_dsd_step`), so they need not add up exactly. Eight side outputs are made,
softened and compared at full resolution, in memory traffic rather than arithmetic. The floor is what no rearrangement
of PyTorch's operators can avoid: the heads' last matrix products, forwards and backwards, and one pass per softmax,
into memory that is already there. It leaves out Dice, the sums and the gradients of the softmaxes. With the floor
alone the light network would be beyond 1.05.
"""


def main() -> None:
    parts = [INTRODUCTION]
    for path in sorted(RESULTS.glob("benchmarks-*.csv")):
        parts += _benchmarks(read_rows(path))
    parts += [PROFILE, _profile(read_rows(RESULTS / "profile-dsd-step.csv"))]
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _benchmarks(rows: Rows) -> list[str]:
    first = rows[0]
    title = f"## {first['processor']}, {first['cores']} cores\n"
    versions = f"PyTorch {first['torch']}, MONAI {first['monai']}, NumPy {first['numpy']}, {first['date']}.\n"
    lines = [
        "| claim | what | against | ratio | aim | met | repeats | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        met = "yes" if row["met"] == "yes" else "**no**"
        cells = [row["claim"], row["what"], row["peer_name"], row["ratio"], row["aim"], met]
        lines.append(f"| {' | '.join([*cells, row['repeats'], row['load']])} |")
    notes = [f"- {row['claim']}, {row['what']}: {row['note']}." for row in rows if row["note"]]
    return [title, versions, "\n".join(lines) + "\n", *([*notes, ""] if notes else [])]


def _profile(rows: Rows) -> str:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    share = {(row["network"], row["part"]): float(row["of_plain_step"]) for row in rows}
    lines = ["| part | " + " | ".join(networks) + " |", "|---|" + "---|" * len(networks)]
    for part in dict.fromkeys(row["part"] for row in rows):
        lines.append(f"| {part} | " + " | ".join(f"{share[n, part]:.1%}" for n in networks) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

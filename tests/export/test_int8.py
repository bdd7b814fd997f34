"""int8: what is rounded, which cases judge, when float is kept; predicted where no torch is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distilseg.cli import main
from distilseg.commands import export, predict
from distilseg.data.planning.splits import Split
from distilseg.errors import UserError
from distilseg.export import int8, quantise
from distilseg.export.openvino import write_openvino
from distilseg.export.quantised import Quantised
from distilseg.export.quantised import kept as kept_form
from distilseg.networks.folding import folded
from distilseg.runs import Run
from distilseg.runtime.artefact import open_artefact
from distilseg.runtime.engine import Arrays
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import small_experiment, small_study
from .test_export import TRAINING, WITHOUT_TRAINING, label_maps

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("int8")
    made = small_experiment(small_study(folder / "scans"), "supervised")
    return trained(made, runs=folder / "runs", machine=CPU, cache=folder / "cache")


@pytest.fixture(scope="module")
def shipped(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped") / "student"
    exported = export(
        run, "openvino-int8", out=out, max_dice_drop=100, calibration_cases=2, even_if_slower=True
    )
    assert exported.quantised is not None
    assert exported.quantised.kept == "int8"
    return out


def kinds(network: Path) -> list[str]:
    import openvino as ov

    return [each.get_type_name() for each in ov.Core().read_model(network).get_ops()]


def test_the_artefact_is_in_int8_and_says_what_that_cost(run: Run, shipped: Path) -> None:
    about = open_artefact(shipped).about
    record = about.quantisation
    assert (about.target, about.engine, record["kept"]) == ("openvino-int8", "openvino", "int8")
    assert "FakeQuantize" in kinds(shipped / "network.xml")
    assert (record["cases"], record["calibration_cases"]) == (2, 2)
    assert record["dice_float"].keys() == record["dice_int8"].keys()
    means = [np.mean(list(record[name].values())) for name in ("dice_float", "dice_int8")]
    assert record["drop"] == pytest.approx(100 * (means[0] - means[1]))
    assert record["layers"] > 5
    assert record["milliseconds_float"] > 0 < record["milliseconds_int8"]
    assert "nncf" in about.made["exported_with"]
    assert about.parity["largest_logit_difference"] < 1e-3  # of the float form
    sizes = [sum(path.stat().st_size for path in shipped.glob("network.*")), record["bytes_int8"]]
    assert sizes[0] == sizes[1]
    card = (shipped / "README.md").read_text()
    assert "## In int8" in card
    assert "this artefact, openvino-int8 |" in card
    assert about.cost["artefact_bytes"] == sizes[0]
    assert f"calibrated on {record['calibration_windows']} windows of 2 other cases" in card
    for file in ("artefact.json", "README.md"):
        assert "phantom_0" not in (shipped / file).read_text()


def test_it_predicts_where_no_training_software_is_installed(run: Run, shipped: Path, tmp_path: Path) -> None:
    scans = run.folder.parents[2] / "scans" / "imagesTr"
    program = tmp_path / "without_training.py"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING | {"nncf"})))
    words = [sys.executable, str(program), "predict", str(shipped), str(scans), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    predict(run.folder, scans, tmp_path / "by-run")
    found, expected = label_maps(tmp_path / "out"), label_maps(tmp_path / "by-run")
    assert found.keys() == expected.keys()
    assert len(found) == 6
    assert all((found[name] == labels).mean() > 0.9 for name, labels in expected.items())


def test_float_is_kept_where_int8_loses_too_much(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Dice that is 2 points lower wherever a network is not the float one."""
    true_scores = int8.dice_scores
    in_float: list[Arrays] = []

    def lower(predictor: int8.ArtefactPredictor, *others: object) -> dict[str, float]:
        in_float.append(predictor.network)
        scores = true_scores(predictor, *others)  # type: ignore[arg-type]
        return dict.fromkeys(scores, 0.9 if predictor.network is in_float[0] else 0.88)

    monkeypatch.setattr(int8, "dice_scores", lower)
    words = ["export", str(run.folder), "--to", "openvino-int8", "--out", str(tmp_path / "student")]
    assert main([*words, "--calibration-cases", "1"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "int8 refused, the artefact is in float: mean Dice 90.00 in float, 88.00 in int8 on 2 cases:"
        " a drop of 2.00 points, above the 0.5 allowed" in told
    )
    about = open_artefact(tmp_path / "student").about
    assert (about.target, about.quantisation["kept"]) == ("openvino", "float")
    assert "FakeQuantize" not in kinds(tmp_path / "student" / "network.xml")
    assert about.quantisation["drop"] == pytest.approx(2)
    assert "int8 refused, the artefact is in float" in (tmp_path / "student" / "README.md").read_text()
    # Before it gave up it gave layers back, 1, 2, 4, ... up to half of them. Three scores were of others.
    tries = len(in_float) - 3
    most = about.quantisation["layers"] // 2
    assert tries == 1 + most.bit_length()


def test_without_nncf_it_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    quantise._nncf.cache_clear()
    words = ["export", str(run.folder), "--to", "openvino-int8", "--out", str(tmp_path / "student")]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: int8 needs NNCF \(.+\); pip install 'distilseg\[export\]'", line)
    assert not list(tmp_path.iterdir())


def test_nncf_reports_to_nobody() -> None:
    """In a process without pytest, whose presence alone makes NNCF silent."""
    program = (
        "import sys; from distilseg.export.quantise import _nncf; _nncf()\n"
        "from nncf.telemetry import telemetry; print(type(telemetry).__name__, 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "MagicMock False\n", "")


# The clock.


def timed(
    run: Run, out: Path, monkeypatch: pytest.MonkeyPatch, seconds: list[float], *words: str
) -> list[int]:
    """An export whose clock shows float's and int8's `seconds`; returns the threads it timed them on."""
    true_engine, threads_of = int8.engine_of, []

    def engine(network: Path, *, threads: int = 0) -> Arrays:
        threads_of.append(threads)
        return true_engine(network, threads=threads)

    monkeypatch.setattr(int8, "engine_of", engine)
    monkeypatch.setattr(int8, "_timed", lambda networks, windows: seconds)
    monkeypatch.setattr(int8, "processor", lambda: "an old processor with AVX2")
    order = [
        "export",
        str(run.folder),
        "--to",
        "openvino-int8",
        "--out",
        str(out),
        "--calibration-cases",
        "1",
    ]
    assert main([*order, "--max-dice-drop", "100", *words]) == 0
    return threads_of[-2:]


SLOWER = "a call in int8 takes 1.23 of its time in float (12.3 ms, 10 ms) on an old processor with AVX2"


@pytest.mark.parametrize(
    ("words", "kept", "told"),
    [
        (
            [],
            "float",
            f"int8 is slower here, the artefact is in float: {SLOWER}; --even-if-slower gives int8",
        ),
        (
            ["--even-if-slower"],
            "int8",
            f"int8 is slower here, and kept (--even-if-slower): {SLOWER}; --to openvino gives float",
        ),
    ],
    ids=["float", "int8"],
)
def test_float_is_kept_where_int8_is_slower(
    words: list[str],
    kept: str,
    told: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads = timed(run, tmp_path / "student", monkeypatch, [0.01, 0.0123], *words)
    assert threads == [torch.get_num_threads()] * 2
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in (tmp_path / "student" / "README.md").read_text()
    about = open_artefact(tmp_path / "student").about
    target = "openvino-int8" if kept == "int8" else "openvino"
    assert (about.quantisation["kept"], about.target) == (kept, target)
    assert ("FakeQuantize" in kinds(tmp_path / "student" / "network.xml")) == (kept == "int8")
    # Judged all the same: what int8 would have cost is told, whatever is written.
    assert about.quantisation["dice_int8"].keys() == about.quantisation["dice_float"].keys()


@pytest.mark.parametrize(
    ("change", "first", "last"),
    [
        (
            {"kept": "float", "drop": 2.0, "max_dice_drop": 0.5, "milliseconds_int8": 20.0},
            "int8 refused, the artefact is in float: mean Dice",
            "int8 is slower here, too: a call in int8 takes 2.00 of its time in float (20 ms, 10 ms)",
        ),
        ({"milliseconds_int8": 5.0}, "mean Dice", "(5 ms, 10 ms) on an old one: int8 is faster"),
        ({"milliseconds_int8": 10.4}, "mean Dice", "(10.4 ms, 10 ms) on an old one: int8 is as fast"),
        ({"milliseconds_int8": 10.6, "kept": "float"}, "int8 is slower here, the artefact is in float", ""),
    ],
    ids=["Dice, and slower", "faster", "as fast", "slower"],
)
def test_what_decided_is_told_first(change: dict[str, object], first: str, last: str, shipped: Path) -> None:
    record = json.loads((shipped / "artefact.json").read_text())["quantisation"]
    record |= {"milliseconds_float": 10.0, "timed_on": "an old one", "even_if_slower": False}
    sentences = Quantised(**record | change).sentences()
    assert sentences[0].startswith(first)
    assert last in sentences[-1]


@pytest.mark.parametrize(
    ("drop", "milliseconds", "even_if_slower", "form"),
    [
        (0.5, 10.5, False, "int8"),
        (0.6, 5.0, True, "float"),
        (0.1, 10.6, False, "float"),
        (0.1, 99.0, True, "int8"),
        (-0.2, 1.0, False, "int8"),
    ],
)
def test_which_form_is_kept(drop: float, milliseconds: float, even_if_slower: bool, form: str) -> None:
    assert kept_form(drop, 0.5, 10.0, milliseconds, even_if_slower=even_if_slower) == form


# Which cases do what.


def test_no_case_calibrates_tunes_and_judges() -> None:
    split = Split(tuple("abcdefgh"), ("v", "w"), ("x",))
    assert int8._other_cases(split, ["x"], 4) == (["a", "c", "e", "g"], ["v", "w"])
    assert int8._other_cases(split, ["v", "w", "a"], 2) == (["b", "e"], ["b", "e"])
    assert int8._other_cases(Split((), ("v", "w"), ("x",)), ["x"], 1) == (["v"], ["w"])
    with pytest.raises(UserError, match="every one of them judges; name fewer --cases"):
        int8._other_cases(Split(("a",), (), ()), ["a"], 4)


# What is rounded.


class Awkward(nn.Module):
    """Two harmless convolutions, and one that needs small channels beside a large one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.InstanceNorm2d(8)
        self.last = nn.Conv2d(8, 2, 1, bias=False)
        self.last.weight.data[:, 7] = 0
        self.register_buffer("scale", torch.tensor([1.0] * 7 + [1e4])[:, None, None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.second(self.first(image))) * self.scale)


def test_layers_alone_are_rounded_and_those_named_are_not(tmp_path: Path) -> None:
    network, rounded = tmp_path / "network.xml", tmp_path / "rounded.xml"
    write_openvino(folded(Awkward().eval()), network, modalities=1, patch=(16, 16))
    names = quantise.layers(network)
    assert len(names) == 3
    windows = [np.random.default_rng(n).normal(size=(1, 1, 16, 16)).astype(np.float32) for n in range(4)]
    ranked = quantise.by_harm(network, tmp_path, windows)
    assert ranked[0] == names[2]
    assert sorted(ranked) == sorted(names)

    def error(in_float: list[str]) -> float:
        quantise.write_int8(network, rounded, windows, in_float=in_float)
        answers = [quantise.engine_of(path, threads=1)(windows[0]) for path in (network, rounded)]
        return float(np.abs(answers[0] - answers[1]).mean() / np.abs(answers[0]).mean())

    everything, but_the_worst = error([]), error(names[2:])
    assert but_the_worst < 0.1 < everything
    quantise.write_int8(network, rounded, windows, in_float=names)
    assert "FakeQuantize" not in kinds(rounded)  # norms and products are left alone


def test_the_record_is_plain(shipped: Path) -> None:
    record = json.loads((shipped / "artefact.json").read_text())["quantisation"]
    assert any(told.startswith("mean Dice ") for told in Quantised(**record).sentences())

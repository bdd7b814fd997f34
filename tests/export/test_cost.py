"""What runs and artefacts cost: the same network counted the same way, and numbers that hang together."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from distilseg.cli import main
from distilseg.commands import cost, export
from distilseg.errors import UserError
from distilseg.export import cost as measuring
from distilseg.export import energy
from distilseg.export.cost import Model, measure_costs
from distilseg.export.cost_of_model import TURNS
from distilseg.export.graph import counts
from distilseg.export.onnx import write_onnx
from distilseg.export.openvino import write_openvino
from distilseg.networks import NetworkSpec, build
from distilseg.networks.count import multiply_accumulates, parameters
from distilseg.runs import Run
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import small_experiment, small_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cost")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    experiment = small_experiment(small_study(folder / "scans"), "supervised")
    machine = Machine(device="cpu", precision="32-true")
    return trained(experiment, runs=folder / "runs", machine=machine, cache=folder / "cache")


@pytest.fixture(scope="module")
def artefact(run: Run, folder: Path) -> Path:
    export(run, "openvino", out=folder / "student")
    return folder / "student"


def test_runs_and_artefacts_side_by_side(
    run: Run, artefact: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "cost.json"
    assert main(["cost", str(run.folder), str(artefact), "--threads", "1", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    for word in ("parameters", "GMAC a patch", "median (quartiles)", "peak memory", "energy a case"):
        assert word in said
    of_run, of_artefact = json.loads(out.read_text()).values()
    assert of_artefact["engine"] == "openvino"
    assert of_artefact["multiply_accumulates"] == of_run["multiply_accumulates"]
    assert of_artefact["counted_on"] == of_run["counted_on"]
    assert of_artefact["parameters"] == pytest.approx(of_run["parameters"], rel=0.02)  # norms may be folded
    assert of_run["bytes_on_disk"] == run.best.stat().st_size
    assert of_artefact["bytes_on_disk"] == sum(file.stat().st_size for file in artefact.iterdir())
    for found in (of_run, of_artefact):
        low, high = found["quartiles_s"]
        assert 0 < low <= found["seconds_per_case"] <= high
        assert found["first_s"] >= found["first_case_s"] + found["load_s"]
        assert found["cases_timed"] > 3
        assert found["waited"] is None or 0 <= found["waited"] < 1
        assert found["threads"] == 1
        assert (found["energy_j_per_case"] is None) == (found["energy"] != "of the whole processor, by RAPL")
    assert 0 < of_artefact["peak_memory_bytes"] < of_run["peak_memory_bytes"]  # torch is not even loaded
    assert (of_run["in_turns_with"], of_artefact["in_turns_with"]) == (["student"], [run.name])


def test_models_have_their_time_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are loaded before the first is measured; then each has a part of its time, round by round."""
    told: list[str] = []

    class Telling(measuring._Process):
        def __init__(self, model: Model, device: str, threads: int | None) -> None:
            self.name = model.path.name

        def _tell(self, line: str) -> None:
            told.append(f"{line[:4]} {self.name}")

        def _answer(self) -> str:
            return "{}"

        def result(self) -> dict[str, object]:
            return {"of": self.name}

        def close(self) -> None:
            told.append(f"ends {self.name}")

    monkeypatch.setattr(measuring, "_Process", Telling)
    monkeypatch.setattr(measuring, "MOST_AT_ONCE", 2)
    models = [Model(Path(name), {"a": {}}) for name in ("one", "two", "three")]
    found = measure_costs(models)
    assert [cost["of"] for cost in found] == ["one", "two", "three"]
    assert [cost["in_turns_with"] for cost in found] == [["two"], ["one"], []]
    of_two = [*['{"a" one', '{"a" two'], *["turn one", "turn two"] * TURNS, "ends two", "ends one"]
    assert told == [*of_two, '{"a" three', *["turn three"] * TURNS, "ends three"]


def test_a_process_that_dies_is_told_in_one_line(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = {"MR": ("nowhere.nii.gz", None)}
    with pytest.raises(UserError, match=r"measuring the cost of student failed: .*nowhere\.nii\.gz"):
        measure_costs([Model(artefact, {"a": scan})])
    monkeypatch.setattr(measuring, "LONGEST_S", 0.01)
    with pytest.raises(UserError, match=r"took more than 0 hours and was ended; measure on smaller cases"):
        measure_costs([Model(artefact, {"a": scan})])


def test_int8_as_a_folder_and_as_a_zip_beside_its_run(
    run: Run, artefact: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = {"max_dice_drop": 100, "calibration_cases": 2, "even_if_slower": True}
    export(run, "openvino-int8", out=folder / "int8.zip", **how)
    with zipfile.ZipFile(folder / "int8.zip") as packed:
        packed.extractall(folder)  # as the folder that it was packed from
    models = [str(path) for path in (run.folder, folder / "int8", folder / "int8.zip")]
    assert main(["cost", *models, "--threads", "1", "--json", str(folder / "three.json")]) == 0
    assert capsys.readouterr().out.count("openvino-int8") == 2
    of_run, of_folder, of_zip = json.loads((folder / "three.json").read_text()).values()
    for found in (of_folder, of_zip):
        assert (found["target"], found["engine"]) == ("openvino-int8", "openvino")
        assert found["multiply_accumulates"] == of_run["multiply_accumulates"]
        # Beside the weights a scale a channel, which counts on so small a network.
        assert found["parameters"] == pytest.approx(of_run["parameters"], rel=0.02)
        assert 0 < found["seconds_per_case"] < found["first_s"]
        assert 0 < found["peak_memory_bytes"] < of_run["peak_memory_bytes"]
    weights = [(path / "network.bin").stat().st_size for path in (folder / "int8", artefact)]
    assert weights[0] < 0.4 * weights[1]
    assert of_zip["bytes_on_disk"] == (folder / "int8.zip").stat().st_size < of_folder["bytes_on_disk"]


def test_an_artefact_is_measured_without_torch(artefact: Path, folder: Path) -> None:
    scan = next((folder / "scans" / "imagesTr").glob("*.nii.gz"))
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom distilseg.cli import main\n"
        f"sys.exit(main(['cost', {str(artefact)!r}, '--scans', {str(scan)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "openvino" in done.stdout


def test_an_artefact_inside_its_run_is_measured_on_the_run_s_cases(run: Run, folder: Path) -> None:
    export(run, "onnx")
    (found,) = cost(run.folder / "export" / "onnx", threads=1).values()
    assert found["target"] == "onnx"
    with pytest.raises(UserError, match=r"hold no case z; known: "):
        cost(run.folder, scans=folder / "scans", cases=["z"])


def test_nothing_to_measure_on_is_said(artefact: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="brings no scans to measure it on; name a scan"):
        cost(artefact)
    with pytest.raises(UserError, match="is not a run folder"):
        cost(tmp_path)


class Mixed(nn.Module):
    """One of everything that is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 4, 3, padding=1)
        self.depthwise = nn.Conv3d(4, 4, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose3d(4, 2, 2, stride=2)
        self.linear = nn.Linear(2, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        up = self.up(self.depthwise(self.convolution(image)))
        linear: torch.Tensor = self.linear(up.movedim(1, -1))
        return linear.movedim(-1, 1)


@pytest.mark.parametrize("write", [write_onnx, write_openvino])
def test_graphs_are_counted_as_networks_are(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network, file = Mixed().eval(), tmp_path / ("network.onnx" if write is write_onnx else "network.xml")
    write(network, file, modalities=1, patch=(6, 5, 4))
    counted = counts(lambda name: (tmp_path / name).read_bytes(), file.name, (1, 1, 6, 5, 4))
    by_hand = 120 * (4 * 27 + 4 * 27) + 120 * 4 * 2 * 8 + 120 * 8 * 2 * 3
    assert counted[1] == by_hand == multiply_accumulates(network, (1, 1, 6, 5, 4))
    assert counted[0] == parameters(network)


@pytest.mark.parametrize("name", ["student_tiny", "unet"])
def test_arithmetic_of_a_network_is_that_of_its_graph(name: str, tmp_path: Path) -> None:
    network = build(NetworkSpec(name, 1, 3, (32, 32, 32))).eval()
    write_onnx(network, tmp_path / "network.onnx", modalities=1, patch=(32, 32, 32))
    _, operations = counts(lambda name: (tmp_path / name).read_bytes(), "network.onnx", (1, 1, 32, 32, 32))
    assert operations == multiply_accumulates(network, (1, 1, 32, 32, 32))


def package(folder: Path, number: int, used_uj: int, most_uj: int) -> Path:
    one = folder / f"intel-rapl:{number}"
    one.mkdir(parents=True)
    (one / "energy_uj").write_text(f"{used_uj}\n")
    (one / "max_energy_range_uj").write_text(f"{most_uj}\n")
    (folder / f"intel-rapl:{number}:0").mkdir()  # a part of the package, which it includes already
    return one


def test_energy_is_the_sum_over_packages_and_counters_turn_over(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 1_000_000, 9_999_999), package(tmp_path, 1, 9_500_000, 9_999_999)
    counted, why = energy.counters(tmp_path)
    assert (len(counted), why) == (2, "")
    before = energy.read_uj(counted)
    (first / "energy_uj").write_text("3000000")
    (second / "energy_uj").write_text("500000")
    assert energy.used_j(counted, before, energy.read_uj(counted)) == 2.0 + 1.0


def test_a_machine_that_tells_no_energy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert energy.counters(tmp_path) == ((), "this machine has no energy counter")
    package(tmp_path, 0, 1, 2)

    def forbidden(self: Path, *arguments: object, **options: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", forbidden)
    assert "may not be read by this user" in energy.counters(tmp_path)[1]

"""Many cases on many machines: parts, lists, what is missing; and every case once, whoever dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from distilseg.claims import MOST_ENDED, claim
from distilseg.cli import main
from distilseg.data.formats.chosen import chosen
from distilseg.data.scans.reading import read_scan
from distilseg.predict import predict_files

from ..data.scans.dicom.writing import save
from ..test_claims import dies
from ..test_predict import Threshold, predictor, scan, write
from .test_dicom import as_series, rounded
from .test_service import artefact as artefact
from .test_service import model as model
from .test_service import run as run


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(7):
        write(folder / f"case_{n}.nii.gz", scan(seed=n))
    (folder / "notes.txt").write_text("no scan")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Parts and lists.


def test_parts_are_disjoint_and_together_all(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(model), str(scans), str(tmp_path / "whole"), "--device", "cpu"]) == 0
    capsys.readouterr()
    for k, count in ((3, 2), (1, 3), (2, 2)):
        words = ["predict", str(model), str(scans), str(tmp_path / "out"), "--part", f"{k}/3", "--times"]
        assert main([*words, "--device", "cpu"]) == 0
        said = capsys.readouterr().out
        assert f"part {k} of 3: {count} of 7 cases\n" in said
        assert f"{count} written to {tmp_path / 'out'}, 0 refused" in said
        assert main([*words, "--device", "cpu"]) == 0
        assert f"0 written to {tmp_path / 'out'}, {count} there already" in capsys.readouterr().out
    assert names(tmp_path / "out") == names(tmp_path / "whole")
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


def test_a_part_that_there_is_not_is_refused_in_a_line(
    artefact: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(artefact), str(scans), str(tmp_path), "--part", "4/3"]) == 2
    told = "error: there is no part 4/3; parts are counted from 1: 1/3 to 3/3\n"
    assert capsys.readouterr().err == told


def test_parts_of_one_file_are_refused_as_the_whole_is(
    artefact: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(artefact), str(scans), str(tmp_path / "a.nii.gz"), "--part", "7/7"]) == 2
    assert "7 cases do not fit into the one file" in capsys.readouterr().err


def test_a_part_asks_for_no_file_of_the_others(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def watched(name: str) -> None:
        real = getattr(os, name)

        def asking(path: object, *rest: object, **options: object) -> object:
            asked.append(os.fspath(path) if isinstance(path, str | os.PathLike) else "")
            return real(path, *rest, **options)

        monkeypatch.setattr(os, name, asking)

    for name in ("stat", "lstat", "open", "mkdir"):
        watched(name)
    done = predict_files(predictor(), scans, tmp_path / "out", chosen=chosen("2/7", None))
    assert list(done.written) == ["case_1"]
    assert any("case_1" in path for path in asked)
    assert [path for path in asked if "case_" in path and "case_1" not in path] == []


def test_a_part_is_not_written_over_scans_of_others(scans: Path, tmp_path: Path) -> None:
    """`b` is called as the label map of `a` would be."""
    write(tmp_path / "in" / "x.nii.gz", scan())
    write(tmp_path / "out" / "a.nii.gz", scan())
    table = tmp_path / "cases.csv"
    table.write_text("case,image:MR\na,in/x.nii.gz\nb,out/a.nii.gz\n")
    with pytest.raises(ValueError, match=r"the label map of a would replace the scan .*a\.nii\.gz"):
        predict_files(predictor(), table, tmp_path / "out", chosen=chosen("1/2", None))


def test_studies_of_dicom_are_shared_out(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for n, name in enumerate("abc"):
        save(as_series(rounded(scan(seed=n))), tmp_path / "disc" / name)
    inputs = [tmp_path / "disc" / name for name in "abc"]
    found = [
        predict_files(predictor(), inputs, tmp_path / "out", chosen=chosen(f"{k}/2", None)) for k in (1, 2)
    ]
    assert [list(summary.written) for summary in found] == [["a", "c"], ["b"]]
    assert [summary.told for summary in found] == ["part 1 of 2: 2 of 3 cases", "part 2 of 2: 1 of 3 cases"]


# What is missing.


def test_what_is_missing_is_listed_and_the_list_is_predicted(
    model: Path, scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(model), str(scans), str(tmp_path / "out")]
    assert main([*words, "--missing"]) == 3
    said = capfd.readouterr()
    assert said.out == "".join(f"case_{n}\n" for n in range(7))
    assert said.err == f"7 of 7 missing in {tmp_path / 'out'}\n"
    assert not (tmp_path / "out").exists()
    assert main([*words, "--part", "2/3", "--device", "cpu"]) == 0
    (tmp_path / "out" / ".case_0.nii.gz.claim").mkdir()
    capfd.readouterr()
    assert main([*words, "--missing", "--part", "1/2"]) == 3
    said = capfd.readouterr()
    assert said.out == "case_0\ncase_2\ncase_6\n"
    assert said.err == f"part 1 of 2: 4 of 7 cases; 3 of 4 missing in {tmp_path / 'out'}\n"
    (tmp_path / "lacking.txt").write_text(said.out)
    assert main([*words, "--list", str(tmp_path / "lacking.txt"), "--device", "cpu"]) == 0
    assert f"{tmp_path / 'lacking.txt'}: 3 of 7 cases\n" in capfd.readouterr().out
    assert main([*words, "--missing"]) == 3
    assert capfd.readouterr().out == "case_3\ncase_5\n"
    assert main([*words, "--device", "cpu"]) == 0
    capfd.readouterr()
    assert main([*words, "--missing"]) == 0
    assert capfd.readouterr().out == ""


def test_what_can_be_no_case_is_not_among_the_missing(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"pair_{number:04d}.nii.gz", scan())
    write(tmp_path / "in" / "a.nii.gz", scan())
    assert main(["predict", str(artefact), str(tmp_path / "in"), str(tmp_path / "out"), "--missing"]) == 3
    said = capsys.readouterr()
    assert said.out == "a\n"
    assert "refused: case pair: " in said.err


# Every case once.


def left_by_the_dead(path: Path, times: int = 1) -> None:
    for _ in range(times):
        mine = claim(path)
        assert mine is not None
        dies(mine)


def test_what_another_held_is_done_if_it_died_before_the_end(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    others = {name: held for name in "04" if (held := claim(out / f"case_{name}.nii.gz")) is not None}

    class Meanwhile(Threshold):
        """While this process works one of the others is killed."""

        def forward(self, image):  # type: ignore[no-untyped-def]
            if "0" in others:
                dies(others.pop("0"))
            return super().forward(image)

    done = predict_files(predictor(Meanwhile()), scans, out)
    assert sorted(done.written) == [f"case_{n}" for n in (0, 1, 2, 3, 5, 6)]
    assert list(done.held) == ["case_4"]
    others["4"].release()
    assert names(out) == [f"case_{n}.nii.gz" for n in (0, 1, 2, 3, 5, 6)]


def test_what_ended_a_process_comes_last_and_alone(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for n in (0, 1):
        left_by_the_dead(out / f"case_{n}.nii.gz")
    order: list[str] = []
    at_once: set[str] = set()

    class Watched:
        def __init__(self) -> None:
            self.real = predictor()

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def prepare(self, given, *, case: str):  # type: ignore[no-untyped-def]
            order.append(case)
            at_once.add(" ".join(sorted(path.name for path in out.glob(".*"))))
            return self.real.prepare(given, case=case)

    done = predict_files(Watched(), scans, out)  # type: ignore[arg-type]
    assert sorted(done.written) == [f"case_{n}" for n in range(7)]
    assert order == [f"case_{n}" for n in (2, 3, 4, 5, 6, 0, 1)]
    both = {".case_0.nii.gz.claim .case_1.nii.gz.claim", ".case_1.nii.gz.claim"}
    assert both <= at_once  # what is left of 1 lies there while 0 is tried, and nothing else
    assert names(out) == [f"case_{n}.nii.gz" for n in range(7)]


def test_what_ended_three_processes_is_refused_and_listed(
    artefact: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    left_by_the_dead(out / "case_3.nii.gz", MOST_ENDED)
    words = ["predict", str(artefact), str(scans), str(out)]
    for _ in range(2):  # it is remembered
        assert main(words) == 1
        assert capsys.readouterr().err == (
            "refused: case case_3: 3 processes ended while they predicted it, for want of memory or by a"
            " crash; crop or convert it, or use a machine with more memory; to try it again delete"
            f" {out / '.case_3.nii.gz.claim'}\n"
        )
    assert main([*words, "--missing"]) == 3
    said = capsys.readouterr()
    assert said.out == "case_3\n"
    assert said.err == f"1 of 7 missing in {out}, of which 1 ended their processes\n"
    (out / ".case_3.nii.gz.claim" / "lock").unlink()
    assert main(words) == 0
    assert names(out) == [f"case_{n}.nii.gz" for n in range(7)]


def test_who_is_stopped_by_a_queue_gives_its_claims_back(
    artefact: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM is not the case's doing: it is not counted."""
    from distilseg.runtime.predictor import ArtefactPredictor

    quick = ArtefactPredictor.blocks

    def stopped(self: ArtefactPredictor, image: np.ndarray, *, case: str = "") -> Iterator[object]:
        if case == "case_2":
            os.kill(os.getpid(), signal.SIGTERM)
        return quick(self, image, case=case)

    monkeypatch.setattr(ArtefactPredictor, "blocks", stopped)
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "out"
    assert main(["predict", str(artefact), str(scans), str(out)]) == 130
    assert signal.getsignal(signal.SIGTERM) == before
    assert not list(out.glob(".*"))
    for path in out.glob("*.nii.gz"):
        assert read_scan(path).array.any()


def test_a_case_handed_out_twice_is_made_once(scans: Path, tmp_path: Path) -> None:
    """Two workers have the same chunk: each case is written by one, and the other passes it."""
    out, both = tmp_path / "out", threading.Barrier(2)
    counts: list[int] = []

    def work() -> None:
        both.wait()
        counts.append(len(predict_files(predictor(), scans, out).written))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(counts) == 7
    assert names(out) == [f"case_{n}.nii.gz" for n in range(7)]

"""Compiled networks in the cache: they answer as new ones, and nothing there is believed that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from distilseg.export.openvino import write_openvino
from distilseg.hardware import processor_identity
from distilseg.runtime import compiled
from distilseg.runtime.compiled import keeping, key_of, usual_folder
from distilseg.runtime.engine import load_engine

WINDOWS = np.random.default_rng(0).normal(size=(2, 1, 4, 5, 6)).astype(np.float32)


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv3d(3, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers(image)
        return logits


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    write_openvino(Convolved().eval(), folder / "network.xml", modalities=1, patch=(4, 5, 6))
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each network that was compiled rather than found."""
    count: list[bool] = []
    real = compiled.compiled

    def counted(make, load, depends_on, folder):  # type: ignore[no-untyped-def]
        return real(lambda: (count.append(True), make())[1], load, depends_on, folder)

    monkeypatch.setattr("distilseg.runtime.engine.compiled", counted)
    return count


def answers(network: Path, cache: Path | None, *, threads: int = 1) -> np.ndarray:
    with keeping(cache):
        run = load_engine(
            "openvino", lambda name: (network / name).read_bytes(), "network.xml", threads=threads
        )
    return run(WINDOWS)


def test_a_kept_network_answers_bit_by_bit_as_a_compiled_one(
    network: Path, tmp_path: Path, made: list[bool]
) -> None:
    plain = answers(network, None)
    assert not list(tmp_path.iterdir())
    first, second = answers(network, tmp_path), answers(network, tmp_path)
    assert len(made) == 1
    np.testing.assert_array_equal(first, plain)
    np.testing.assert_array_equal(second, plain)
    (entry,) = tmp_path.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", [0, 5, 40, 80, 200, -1])
def test_a_damaged_entry_is_not_believed_and_made_again(
    network: Path, tmp_path: Path, made: list[bool], place: int
) -> None:
    right = answers(network, tmp_path)
    (entry,) = tmp_path.iterdir()
    whole = bytearray(entry.read_bytes())
    whole[place] ^= 1
    entry.write_bytes(whole)
    np.testing.assert_array_equal(answers(network, tmp_path), right)
    entry.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(answers(network, tmp_path), right)
    entry.write_bytes(b"")
    np.testing.assert_array_equal(answers(network, tmp_path), right)
    assert len(made) == 4
    answers(network, tmp_path)  # the last was written whole
    assert len(made) == 4


def test_what_is_of_another_name_or_the_engine_does_not_take_is_compiled(
    network: Path, tmp_path: Path, made: list[bool]
) -> None:
    right = answers(network, tmp_path)
    (entry,) = tmp_path.iterdir()
    answers(network, tmp_path, threads=2)
    other = next(path for path in tmp_path.iterdir() if path != entry)
    entry.write_bytes(other.read_bytes())  # whole, and of other options
    np.testing.assert_array_equal(answers(network, tmp_path), right)
    assert len(made) == 3
    compiled._keep(entry, bytes.fromhex(entry.name), b"no network")  # whole, and nothing of the engine's
    np.testing.assert_array_equal(answers(network, tmp_path), right)
    assert len(made) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners")
def test_what_others_may_have_written_is_not_believed(
    network: Path, tmp_path: Path, made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(network, tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.chmod(0o622)
    answers(network, tmp_path)
    assert len(made) == 2
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    answers(network, tmp_path)
    assert len(made) == 3
    assert not entry.is_symlink()
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    answers(network, tmp_path)
    assert len(made) == 4


def test_the_key_is_of_network_engine_options_and_processor(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path
) -> None:
    assert key_of((b"ab", "c")) == key_of((b"ab", "c"))
    assert len({key_of(one) for one in ((b"ab", "c"), (b"a", "bc"), (b"ab", "d"), (b"ab",))}) == 4
    here = key_of((b"network",))
    monkeypatch.setattr(compiled, "processor_identity", lambda: processor_identity() + " another")
    assert key_of((b"network",)) != here
    monkeypatch.undo()
    answers(network, tmp_path)
    import openvino

    monkeypatch.setattr(openvino, "get_version", lambda: "of tomorrow")
    answers(network, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    network: Path, tmp_path: Path, made: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    right = answers(network, None)
    for _ in range(2):
        np.testing.assert_array_equal(answers(network, tmp_path / "file" / "networks"), right)
    assert len(made) == 2
    assert capsys.readouterr() == ("", "")


def test_several_processes_leave_one_whole_entry(network: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.runtime.test_compiled import answers\n"
        f"print(answers(Path({str(network)!r}), Path({str(tmp_path)!r})).tobytes().hex())"
    )
    order = [sys.executable, "-c", code]
    root = Path(__file__).resolve().parents[2]
    started = [subprocess.Popen(order, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    told = {process.communicate()[0] for process in started}
    assert told == {answers(network, None).tobytes().hex() + "\n"}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_used_longest_ago_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_BYTES", 1000)
    for n in range(6):
        compiled._keep(tmp_path / str(n), bytes(32), bytes(150))
        os.utime(tmp_path / str(n), (n, n))
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["2", "3", "4", "5"]
    compiled._keep(tmp_path / "large", bytes(32), bytes(300))
    assert not (tmp_path / "large").exists()


@pytest.mark.parametrize("off", ["no", "off", "0", "False"])
def test_it_can_be_turned_off(off: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DISTILSEG_KEEP_COMPILED", off)
    assert usual_folder() is None
    monkeypatch.delenv("DISTILSEG_KEEP_COMPILED")
    assert usual_folder() == tmp_path / "distilseg" / "networks"

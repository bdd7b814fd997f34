"""How busy the machine was; what its processor is called and can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg import hardware
from distilseg.hardware import Waiting


def test_waiting_is_counted_over_threads_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread ran for 90 and waited for 10 ns more; another began meanwhile and waited for 10."""
    states = iter([{"1": (100, 10)}, {"1": (190, 20), "2": (0, 10)}])
    monkeypatch.setattr(hardware, "_scheduled", lambda: next(states))
    assert Waiting().share() == pytest.approx(20 / 110)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_scheduled", dict)
    assert Waiting().share() is None


def test_this_system() -> None:
    waiting = Waiting()
    sum(range(10**6))
    share = waiting.share()
    assert share is None or 0 <= share < 1


# The lines that matter, as machines gave them (flags shortened), each processor once.
CPUINFO = {
    "Intel(R) Core(TM) i7-8700T CPU @ 2.40GHz with AVX2": """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Core(TM) i7-8700T CPU @ 2.40GHz
flags\t\t: fpu vme sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c bmi1 avx2 bmi2 erms rtm
vmx flags\t: vnmi preemption_timer ept
""",
    "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz with AVX2, AVX-512": """\
model name\t: Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz
flags\t\t: fpu sse4_2 avx fma f16c avx2 avx512f avx512dq avx512cd avx512bw avx512vl
""",
    "Intel(R) Xeon(R) Platinum 8480C with AVX2, AVX-512, VNNI, AMX": """\
model name\t: Intel(R) Xeon(R) Platinum 8480C
flags\t\t: fma avx avx2 avx512f avx512bw avx_vnni avx512_vnni amx_bf16 amx_tile amx_int8
""",
    "12th Gen Intel(R) Core(TM) i7-1260P with AVX2, VNNI": """\
model name\t: 12th Gen Intel(R) Core(TM) i7-1260P
flags\t\t: fma avx f16c avx2 bmi2 sha_ni xsaveopt avx_vnni umip
""",
    "AMD EPYC with AVX2, AVX-512, VNNI": """\
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
flags\t\t: fma avx avx2 avx512f avx512bw avx_vnni avx512_bf16 avx512_vnni avx512_vp2intersect
""",
    "AMD EPYC 7763 64-Core Processor with AVX2": """\
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fma avx f16c avx2 sha_ni clzero vaes
""",
    "Intel(R) Celeron(R) J4125 CPU @ 2.00GHz": """\
model name\t: Intel(R) Celeron(R) J4125 CPU @ 2.00GHz
flags\t\t: sse2 ssse3 sse4_1 sse4_2 movbe popcnt rdrand
""",
    "aarch64 with SVE, dot products, I8MM": """\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd aes crc32 atomics asimdhp asimddp sha512 sve asimdfhm i8mm bf16
CPU implementer\t: 0x41
""",
}


@pytest.mark.parametrize("told", CPUINFO, ids=str)
def test_a_processor_and_what_it_can_do(told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO[told] * 2)
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "aarch64")  # its cpuinfo has no name
    assert hardware.processor() == told
    assert hardware.processor_name() == told.split(" with ")[0]


def test_a_system_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "arm")
    assert hardware.processor_features() == ()
    assert hardware.processor() == hardware.processor_name() == "arm"


@pytest.mark.parametrize(
    ("affinity", "slurm", "cpu_max", "usable"),
    [
        (16, None, None, 16),
        (16, "4", None, 4),
        (2, "4", None, 2),  # bound to fewer
        (16, "all of them", None, 16),
        (16, "0", None, 1),
        (16, None, "max 100000", 16),
        (16, None, "150000 100000", 2),
        (16, "1", "150000 100000", 1),
        (16, None, "nonsense", 16),
    ],
)
def test_cores_are_those_that_were_granted(
    affinity: int,
    slurm: str | None,
    cpu_max: str | None,
    usable: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(affinity)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    if slurm is not None:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
    (tmp_path / "own").write_text("1:cpu:/\n0::/job\n")
    (tmp_path / "job").mkdir()
    if cpu_max is not None:
        (tmp_path / "job" / "cpu.max").write_text(cpu_max + "\n")
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path)
    monkeypatch.setattr(hardware, "_OWN_CGROUP", tmp_path / "own")
    hardware._share_of_time.cache_clear()
    assert hardware.usable_cores() == usable
    assert hardware.fewer_cores() == (0 if usable == 16 else usable)
    hardware._share_of_time.cache_clear()

"""A run folder of which one file was changed works or is refused, whatever is done with it."""

from __future__ import annotations

import resource

import pytest

from . import runs
from .ending import ending

MOST_BYTES = 2**30  # that this process grows by


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> runs.World:
    return runs.World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("command", runs.FILES)
def test_a_changed_run_works_or_is_refused(command: str, world: runs.World) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = list(runs.sweep(world, command, tries=8))
    assert [end for end in ends if end[2] not in ("read", "refused")] == []
    assert {end for _, _, end in ends} == {"read", "refused"}
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST_BYTES


@pytest.mark.parametrize("command", runs.FILES)
def test_each_command_works_on_the_sound_run(command: str, world: runs.World) -> None:
    sound, use = world.attempts()[command]
    (world.folder / "out").mkdir(exist_ok=True)
    if command == "resume":
        sound = runs.copied(sound, world.folder / "goes on")
    assert ending(lambda: use(sound)) == "read"

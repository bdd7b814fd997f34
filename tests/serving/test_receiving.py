"""C-STORE on loopback: who is let in, what is kept, and what a cut association leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from distilseg.data.scans.dicom.series import found_in
from distilseg.errors import UserError
from distilseg.serving import receiving
from distilseg.serving.arriving import Arrivals
from distilseg.serving.receiving import Receiver
from distilseg.serving.sending import SEGMENTATION
from distilseg.serving.spool import ARRIVING, IMAGES, Spool, key_of

from ..data.scans.dicom.writing import PATIENT_ID, PATIENT_NAME
from .world import association, free_port, send, study, uid_of, until


class World:
    def __init__(self, folder: Path, allowed: tuple[str, ...] = (), most_bytes: float = 1e9) -> None:
        self.port, self.said = free_port(), list[str]()
        self.spool = Spool(folder)
        self.arrivals = Arrivals(self.spool, quiet_s=0, most_bytes=most_bytes)
        self.receiver = Receiver(
            self.arrivals,
            title="DISTILSEG",
            host="127.0.0.1",
            port=self.port,
            allowed=allowed,
            say=self.said.append,
        )

    def images(self, images: list[Dataset]) -> set[str]:
        return self.spool.images(ARRIVING, key_of(uid_of(images)))

    def told(self, words: str) -> bool:
        return any(words in line for line in self.said)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, allowed=("PACS", "CT-1"))
    yield world
    world.receiver.close()


def test_images_are_kept_as_they_came(world: World) -> None:
    images = study()
    assert send(images, world.port) == {0}
    until(world.arrivals.complete, "it is whole")
    folder = world.spool.place(ARRIVING, key_of(uid_of(images))) / IMAGES
    (volume,) = found_in(folder).volumes
    assert len(volume.planes) == len(images)
    by_uid = {str(one.SOPInstanceUID): one for one in images}
    for file in folder.iterdir():
        read = dcmread(file)
        assert read == by_uid[str(read.SOPInstanceUID)]
    until(lambda: world.told(f"{len(images)} images came from PACS"), "it is told")


def test_no_name_and_no_identifier_of_a_patient_is_a_name_or_in_a_line(world: World) -> None:
    images = study()
    send(images, world.port)
    send(images, world.port, cut_after=2)
    until(lambda: world.told("cut"), "it is told")
    names = "\n".join([*world.said, *map(str, world.spool.folder.rglob("*"))])
    planted = (
        PATIENT_NAME,
        PATIENT_ID,
        "Planted",
        *(str(images[0][tag].value) for tag in ("StudyInstanceUID",)),
    )
    assert not [word for word in planted if word in names]
    assert not [one.SOPInstanceUID for one in images if str(one.SOPInstanceUID) in names]


def test_strangers_are_refused_and_told(world: World) -> None:
    for us, them in (("PACS2", "DISTILSEG"), ("STRANGER\t", "DISTILSEG"), ("PACS", "OTHER")):
        with association(world.port, us=us.strip(), them=them) as opened:
            assert opened.is_rejected
    until(lambda: world.told("refused an association from 'PACS2' at 127.0.0.1"), "it is told")
    assert send(study(), world.port, us="CT-1") == {0}


def test_an_echo_is_answered(world: World) -> None:
    with association(world.port, kinds=[Verification]) as opened:
        assert opened.send_c_echo().Status == 0


def test_a_cut_association_keeps_its_images_and_waits(world: World) -> None:
    images = study()
    send(images, world.port, cut_after=4)
    until(world.arrivals.cut, "it is cut")
    assert len(world.images(images)) == 4
    assert world.arrivals.complete() == []
    until(lambda: world.told("4 images came from PACS, and the association was cut"), "it is told")
    send(images[4:], world.port)  # only the rest, as some senders do
    assert until(world.arrivals.complete, "it is whole") == [key_of(uid_of(images))]
    assert len(world.images(images)) == len(images)


def test_a_connection_that_is_lost_is_a_cut(world: World) -> None:
    images = study()
    with association(world.port) as opened:
        opened.send_c_store(images[0])
        opened.dul.socket.close()
    until(world.arrivals.cut, "it is cut")


def test_several_associations_at_once_for_one_study(world: World) -> None:
    images = study()
    parts = [images[n::3] for n in range(3)]
    threads = [threading.Thread(target=send, args=(part, world.port)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(world.arrivals.complete, "it is whole")
    assert len(world.images(images)) == len(images)


def test_objects_of_other_kinds_are_taken_and_not_kept(world: World) -> None:
    """Such as our own answers, which a PACS routes to everybody: they are no growth of the study."""
    answer = study()[0]
    answer.SOPClassUID = answer.file_meta.MediaStorageSOPClassUID = SEGMENTATION["binary"]
    assert send([answer], world.port) == {0}
    assert world.spool.keys(ARRIVING) == []


def test_an_object_without_a_study_is_not_understood(world: World) -> None:
    images = study()
    whole, broken = images[0], images[1]
    broken.StudyInstanceUID = ""
    assert send([whole, broken], world.port) == {0, 0xC000}
    until(world.arrivals.cut, "the study waits")


@pytest.mark.parametrize("size", [300_000, 100_000])
def test_an_object_or_a_study_that_is_too_large(size: int, tmp_path: Path) -> None:
    world = World(tmp_path, most_bytes=250_000)
    images: list[Any] = study()
    for image in images:
        image.Rows, image.Columns, image.PixelData = 10, size // 20, bytes(size)
    try:
        if size > world.arrivals.most_bytes:
            with association(world.port) as opened:
                opened.send_c_store(images[0])
                until(lambda: not opened.is_established, "it is cut")
            assert world.told("cut an association: it sent an object larger than")
        else:
            assert send(images, world.port) == {0, 0xA700}
            until(world.arrivals.complete, "it is done with")
            assert len(world.images(images)) == 2
    finally:
        world.receiver.close()


def test_a_port_in_use(tmp_path: Path, world: World) -> None:
    arrivals = Arrivals(Spool(tmp_path), quiet_s=0, most_bytes=1)
    with pytest.raises(UserError, match=rf"nothing can listen on 127.0.0.1:{world.port} \(.*in use"):
        Receiver(arrivals, title="B", host="127.0.0.1", port=world.port, allowed=(), say=print)


def test_who_is_still_sending_may_finish(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_PATIENCE_S", 30.0)
    images = study()
    with association(world.port) as opened:
        opened.send_c_store(images[0])
        closing = threading.Thread(target=world.receiver.close)
        closing.start()
        assert all(opened.send_c_store(one).Status == 0 for one in images[1:])
    closing.join()
    assert world.arrivals.complete() == [key_of(uid_of(images))]

"""A real PACS and `distilseg serve` beside it, in a network namespace of their own; run by test_orthanc.py.

    python -m tests.serving.in_orthanc ARTEFACT STUDIES OUT

STUDIES holds a folder for each way in and back; OUT gets the SEG that Orthanc then holds, as WAY.dcm, and
what the service said, as WAY.log. Orthanc 1.10 listens on every address, whatever its configuration says.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pynetdicom import AE

WAYS = ("store_store", "store_stow", "wado_stow", "qido_stow", "qido_store")
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
REST, WEB = "http://127.0.0.1:8042", "http://127.0.0.1:8042/dicom-web"
_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_STUDY, _KIND = "0020000D", "00080016"


def plugin() -> Path | None:
    """Orthanc's DICOMweb."""
    found = [file for folder in PLUGINS for file in Path(folder).glob("libOrthancDicomWeb.so*")]
    return found[0] if found else None


def orthanc(folder: Path) -> subprocess.Popen[bytes]:
    configuration = {
        "Name": "ORTHANC",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin())],
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": 4242,
        "DicomCheckCalledAet": False,
        "HttpPort": 8042,
        "DicomModalities": {"distilseg": ["DISTILSEG", "127.0.0.1", 11112]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        return subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)


def rest(path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(REST + path, data=data), timeout=60) as answer:
        return json.loads(answer.read())


def waited(true: Any, what: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"never: {what}")


def stored(images: list[Dataset], title: str = "ORTHANC", port: int = 4242) -> None:
    entity = AE("SCANNER")
    entity.add_requested_context(images[0].SOPClassUID)
    association = entity.associate("127.0.0.1", port, ae_title=title)
    assert association.is_established
    assert {association.send_c_store(image).Status for image in images} == {0}
    association.release()


def pushed(study: str) -> None:
    """By Orthanc, to the service, as a hospital's rules do."""
    rest("/modalities/distilseg/store", {"Resources": [lookup(study)], "Synchronous": True})


def lookup(study: str) -> str:
    request = urllib.request.Request(f"{REST}/tools/lookup", data=study.encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return next(one["ID"] for one in json.loads(answer.read()) if one["Type"] == "Study")


def segs(client: DICOMwebClient, study: str) -> list[Dataset]:
    """The SEG of a study that Orthanc holds."""
    found = client.search_for_instances(study, fields=[_KIND])
    return [
        client.retrieve_instance(
            study,
            one["0020000E"]["Value"][0],
            one["00080018"]["Value"][0],
            media_types=(("application/dicom", "*"),),
        )
        for one in found
        if one.get(_KIND, {}).get("Value") == [_SEG]
    ]


def serve(way: str, artefact: str, study: str, out: Path) -> tuple[subprocess.Popen[bytes], bool]:
    """The service for a way, and whether it waits for C-STORE."""
    come, back = way.split("_")
    words = ["--ae", "DISTILSEG"] if come == "store" else ["--dicomweb", WEB]
    words += ["--study", study] if come == "wado" else ["--once"]
    if back == "store":
        words += ["--send-to", "127.0.0.1:4242:ORTHANC"]
    elif come == "store":
        words += ["--dicomweb", WEB]
    words += ["--look-seconds", "1"] if come == "qido" else []
    words += ["--quiet-seconds", "1", "--spool", str(out / f"{way}_spool")]
    with (out / f"{way}.log").open("wb") as log:
        line = [sys.executable, "-m", "distilseg", "serve", artefact, *words]
        return subprocess.Popen(line, stderr=log), come == "store"


def listens() -> bool:
    entity = AE("ORTHANC")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", 11112, ae_title="DISTILSEG")
    if not association.is_established:
        return False
    association.release()
    return True


def main() -> None:
    artefact, studies, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    pacs = orthanc(out)
    try:
        waited(lambda: rest("/system"), "Orthanc answers")
        client = DICOMwebClient(WEB)
        for way in WAYS:
            images = [dcmread(file) for file in sorted((studies / way).iterdir())]
            study = str(images[0].StudyInstanceUID)
            stored(images)
            service, by_store = serve(way, artefact, study, out)
            if by_store:
                waited(listens, "the service listens")
                pushed(study)
            assert service.wait(120) == 0, (out / f"{way}.log").read_text()
            (answer,) = segs(client, study)
            answer.save_as(out / f"{way}.dcm", enforce_file_format=True)
            rest_delete(lookup(study))
        line = [sys.executable, "-m", "distilseg", "serve", artefact, "--ae", "A", "--seg", "labelmap"]
        line += ["--send-to", "127.0.0.1:4242:ORTHANC", "--spool", str(out / "spool")]
        (out / "labelmap.log").write_bytes(subprocess.run(line, stderr=subprocess.PIPE).stderr)
    finally:
        pacs.terminate()
        pacs.wait(30)


def rest_delete(study: str) -> None:
    """So that the next way meets no study but its own."""
    urllib.request.urlopen(
        urllib.request.Request(f"{REST}/studies/{study}", method="DELETE"), timeout=60
    ).close()


if __name__ == "__main__":
    main()

"""Titles, ports and peers: what DICOM takes, or one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg.errors import UserError
from distilseg.serving.peers import Peer, peer, title


def test_a_peer_is_spelled_or_named(tmp_path: Path) -> None:
    known = tmp_path / "peers.json"
    known.write_text('{"PACS": "10.0.0.5:104:ORTHANC", "odd": 5}')
    assert peer("10.0.0.5:104:ORTHANC") == peer("PACS", known) == Peer("10.0.0.5", 104, "ORTHANC")
    assert peer("[::1]:104:A B", known) == Peer("::1", 104, "A B")
    with pytest.raises(UserError, match="unknown peer 'PACK'; did you mean 'PACS'"):
        peer("PACK", known)
    with pytest.raises(UserError, match="'odd' is no text"):
        peer("odd", known)
    with pytest.raises(UserError, match="there is no file of peers"):
        peer("PACS", tmp_path / "absent.json")


@pytest.mark.parametrize(
    "text", ["PACS", "host:104", "host:port:PACS", ":104:PACS", "host::PACS", "host:99999:P"]
)
def test_what_is_no_peer(text: str) -> None:
    with pytest.raises(UserError, match=r"HOST:PORT:AETITLE|is no port"):
        peer(text)


@pytest.mark.parametrize("text", ["", "A" * 17, "Ä", "A\\B", " A", "A\n"])
def test_what_is_no_title(text: str) -> None:
    with pytest.raises(UserError, match="is no AE title"):
        title(text, "--ae")

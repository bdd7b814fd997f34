"""What is let through as a name, what is refused and why; and that no other text is joined to a path."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distilseg
from distilseg.data.formats.inputs import find_cases
from distilseg.errors import UserError
from distilseg.names import MOST_BYTES, check_distinct, component, identity, pasted, printable, quoted

GOOD = [
    "a",
    "case_1",
    "p-01",
    "BRATS 2018",
    "a.b",
    "a..b",
    "1.2.840.113619",
    "Müller",
    "患者1",
    "x+y",
    "(1)",
    "c#3",
]
GOOD += ["console", "nulls", "com", "com10", "a~", "a-", "'q'", "x" * (MOST_BYTES - 7), "é" * 96]

BAD = {
    "": "it is empty",
    ".": "it begins with .",
    "..": "it begins with .",
    "../up": "it holds /",
    "/abs": "it holds /",
    "a/b": "it holds /",
    "a\\b": "it holds \\",
    "\\\\server\\share": "it holds \\",
    "C:": "it holds :",
    "a:stream": "it holds :",
    "*": "it holds *",
    "what?": "it holds ?",
    'a"b': 'it holds "',
    "a|b": "it holds |",
    "<a>": "it holds <",
    ".hidden": "it begins with .",
    "~root": "it begins with ~",
    "-rf": "it begins with -",
    " a": "it begins or ends with a space",
    "a ": "it begins or ends with a space",
    "a\u00a0": "it begins or ends with a space",
    "a.": "it ends with a dot",
    "a\0b": "the invisible character U+0000",
    "a\nb": "the invisible character U+000A",
    "\x1b[2J": "the invisible character U+001B",
    "a\x7f": "the invisible character U+007F",
    "a\x9bm": "the invisible character U+009B",
    "a\u202eb": "the invisible character U+202E",
    "a\u2066b": "the invisible character U+2066",
    "a\u200bb": "the invisible character U+200B",
    "a\u2028b": "the invisible character U+2028",
    "a\ufeff": "the invisible character U+FEFF",
    "caf\udce9": "the invisible character U+DCE9",
    "NUL": "it is a device of Windows",
    "con": "it is a device of Windows",
    "aux.txt": "it is a device of Windows",
    "Com1.a.b": "it is a device of Windows",
    "lpt²": "it is a device of Windows",
    "x" * (MOST_BYTES - 6): "it has 201 bytes with its ending, at most 200 are taken",
    "é" * 97: "it has 201 bytes with its ending",
    "x" * 5000: "it has 5007 bytes with its ending",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_every_file_system_takes_is_let_through(name: str, tmp_path: Path) -> None:
    made = tmp_path / component(name, ".nii.gz", kind="case")
    made.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name + ".nii.gz"]


@pytest.mark.parametrize("name", BAD)
def test_what_leads_elsewhere_or_is_read_otherwise_is_refused(name: str) -> None:
    with pytest.raises(UserError) as refused:
        component(name, ".nii.gz", kind="case")
    line = str(refused.value)
    assert line.startswith("the case name ")
    assert BAD[name] in line
    assert line.isprintable()
    assert len(line) < 250


@given(st.text(max_size=300), st.sampled_from(["", ".nii.gz", ".html"]))
def test_whatever_is_let_through_is_one_part_of_a_path(name: str, ending: str) -> None:
    try:
        made = component(name, ending, kind="case")
    except UserError:
        return
    assert made == name + ending
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind("out") / made
        assert path.parent == kind("out")
        assert path.name == made
    assert len(made.encode()) <= MOST_BYTES
    assert len((made + "\n").splitlines()) == 1
    assert made.isprintable() or not made.isascii()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna", "anna"),
        ("anna", "Anna"),
        ("STRASSE", "straße"),
        ("anna.nii", "anna"),
        ("anna.NII.GZ", "anna.nii"),
        (unicodedata.normalize("NFC", "Müller"), unicodedata.normalize("NFD", "Müller")),
    ],
)
def test_names_that_some_reader_takes_for_one_are_one(one: str, other: str) -> None:
    endings = (".nii.gz", ".nii")
    assert identity(one, endings) == identity(other, endings)
    with pytest.raises(UserError) as refused:
        check_distinct([("b", "0"), (one, "first.csv"), (other, "second.csv")], kind="case", endings=endings)
    line = str(refused.value)
    assert "first.csv" in line
    assert "second.csv" in line
    assert "give each a name of its own" in line
    assert ("stands twice" in line) == (one == other)


def test_other_names_are_told_apart() -> None:
    check_distinct([(name, n) for n, name in enumerate(["a", "b", "a.nii", "a b", "ä"])], kind="case")
    check_distinct([("network.xml", 0), ("network.bin", 1)], kind="file")


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    assert printable("a\x1b[31mred\r\u202eb\n\tü") == "a\\x1b[31mred\\r\\u202eb\n\tü"
    assert quoted("a\x07") == "'a\\x07'"
    assert len(quoted("x" * 1000)) == 62


def test_printed_commands_can_be_pasted(tmp_path: Path) -> None:
    awkward = tmp_path / "it's $HOME; `a b`"
    line = pasted("distilseg", "predict", awkward, "SCANS", Path("-rf"), "--zip")
    assert shlex.split(line) == ["distilseg", "predict", str(awkward), "SCANS", "./-rf", "--zip"]
    said = subprocess.run(["sh", "-c", f"printf '%s\n' {line}"], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[2] == str(awkward)
    assert pasted("--plan", Path("plan.json")) == "--plan plan.json"


_COMMAND = re.compile(r"(\bdistilseg [a-z][^`;:]*|--(plan|trust|out|data|cache|runs|normalisation) )$")
_QUOTED = ("pasted(", "command", "f'{command}")


def test_no_command_is_printed_but_what_pasted_quotes() -> None:
    root = Path(distilseg.__file__).parent
    bare = []
    ours = root / "recipes" / "papers"  # commands that hold our own words alone
    for path in sorted(file for file in root.rglob("*.py") if ours not in file.parents):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for before, value in pairwise(parts):
                if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue):
                    told = ast.unparse(value.value)
                    if _COMMAND.search(str(before.value)) and not told.startswith(_QUOTED):
                        bare.append((path.relative_to(root).as_posix(), told))
    assert bare == []


# Nothing else called like a name is joined to a path: it goes through `component`, or stands here with the
# reason why it need not.

_NAMELIKE = re.compile(r"(case|name|id|key|dataset|member|file|label|student|stem|place|title)\b")
_JOINING = ("joinpath", "with_name", "with_stem", "glob", "rglob")
_OF_ITSELF = ("component(", "_key(", "len(", "np.")  # _key: a digest, in every cache of ours
_CHECKED = "checked where it was read"
_READ = "the path of a scan or of a run as a description tells it: it is read, and never written to"
_OURS = "made of what this package itself defines"
_DIGEST = "a digest"
_THERE = "of a file or folder that was found there under this name"
_USERS = "of a path that the user named"
KNOWN = {
    ("data/check/fix.py", "dataset.folder.name"): _USERS,
    ("data/fetch.py", "f'{archive.folder}.tar.part'"): _OURS,
    ("data/fetch.py", "f'{part.name}.validator'"): _OURS,
    ("data/formats/answered.py", "str(label)"): _READ,
    ("data/formats/brats.py", "f'{patient.name}_{part}{ending}'"): _THERE,
    ("data/formats/common.py", "name"): _READ,
    ("data/formats/folders.py", "f'{id}_{number:04d}{first.name.removeprefix(stem(first))}'"): _THERE,
    ("data/formats/hecktor.py", "name"): _OURS,
    ("data/formats/msd.py", "f'{stem(path)}_{number:04d}{ending(path)}'"): _READ,
    ("data/formats/nnunet.py", "f'{id}_{number:04d}{ending}'"): _THERE,
    ("data/formats/nnunet.py", "f'{id}{ending}'"): _THERE,
    ("data/phantom/slices.py", "f'phantom_{case:03d}{ending}'"): _OURS,
    ("data/phantom/volumes.py", "f'{names[case]}.nii.gz'"): _OURS,
    ("data/phantom/volumes.py", "f'{names[case]}_{channel:04d}.nii.gz'"): _OURS,
    ("export/artefact.py", "f'{out.name}.zip'"): _USERS,
    ("export/artefact.py", "file"): _OURS,
    ("export/artefact.py", "name"): _CHECKED,
    ("export/artefact.py", "plan_file"): _OURS,
    ("export/cost_probe.py", "f'{name}.json'"): _DIGEST,
    ("export/cost_probe.py", "file"): _OURS,
    ("export/cost_process.py", "f'labels{label_ending(next(iter(sources.values())).path)}'"): _OURS,
    ("export/folder.py", "name"): _CHECKED,
    ("export/int8.py", "file.name"): _OURS,
    ("export/int8.py", "network.name"): _OURS,
    ("export/monai_bundle.py", "file"): _OURS,
    ("export/nnunet_folder.py", "f'fold_{FOLD}'"): _OURS,
    ("export/nnunet_folder.py", "file"): _OURS,
    ("export/of_others.py", "f'{out.name}.zip'"): _USERS,
    ("export/of_others.py", "name"): _CHECKED,
    ("export/provenance.py", "f'*/{glob.escape(name)}'"): _CHECKED,
    ("export/quantise.py", "name"): _OURS,
    ("judged_teacher.py", "f'teacher-{digest}'"): _DIGEST,
    ("teachers/archive.py", "file"): _THERE,
    ("teachers/archive.py", "name"): _THERE,
    ("teachers/files.py", "name"): _OURS,
    ("teachers/nnunet/folder.py", "f'{level}{file}'"): _OURS,
    ("teachers/nnunet/folder.py", "file"): _OURS,
    ("teachers/nnunet/model.py", "name"): _OURS,
    ("claims.py", "f'.{path.name}.claim'"): _CHECKED,
    ("claims.py", "self.path.name"): _CHECKED,
    ("files.py", "path.name"): _CHECKED,
    ("files.py", "f'.writing-{uuid.uuid4().hex}'"): _OURS,
    ("runtime/compiled.py", "key.hex()"): _DIGEST,
    ("runs.py", "self.metrics.name"): _OURS,
    ("data/scans/limits.py", "name"): _OURS,
    ("commands/_evaluate.py", "ours.named(Path(out).name)"): _USERS,
    ("commands/_joined.py", "Chosen(Part(k, n)).named(table.name)"): _USERS,
    ("commands/_sweep.py", "f'plan-{digest}.json'"): _DIGEST,
    ("data/formats/inputs.py", "name"): _THERE,
    ("engines/element.py", "f'{number}.json'"): _OURS,
    ("engines/element.py", "f'{number}.lock'"): _OURS,
    ("engines/element.py", "f'{number}.log'"): _OURS,
    ("engines/slurm.py", "f'stage_{stage}.sbatch'"): _OURS,
    ("engines/submission.py", "self.folder.parent.name.removesuffix(ENDING)"): _USERS,
    ("export/web/built.py", "f'{name}.gz'"): _OURS,
    ("export/web/golden.py", "f'labels_{seed}.nii.gz'"): _OURS,
    ("export/web/golden.py", "f'scan_{seed}_{n}.nii.gz'"): _OURS,
    ("export/web/making.py", "f'web{ending}'"): _OURS,
    ("export/web/page.py", "name"): _OURS,
    ("runtime/jobs.py", "path.name"): _READ,
    ("runtime/seg_files.py", "f'{file.stem}_report{file.suffix}'"): _CHECKED,
    ("runtime/stores.py", "PurePosixPath(file).name"): _CHECKED,
    ("serving/arriving.py", "f'{path.name}.{threading.get_ident()}{PART}'"): _DIGEST,
    ("serving/arriving.py", "name"): _DIGEST,
    ("serving/settling.py", "name"): _DIGEST,
    ("serving/spool.py", "f'{ARRIVING}/*/{IMAGES}/*{PART}'"): _OURS,
    ("serving/spool.py", "f'{key}-{uuid.uuid4().hex}'"): _DIGEST,
    ("serving/spool.py", "key"): _DIGEST,
    ("serving/spool.py", "name"): _OURS,
    ("training/agreement.py", "f'{_key(case, foreign)}.nii.gz'"): _DIGEST,
    ("training/fitted.py", "f'{hashlib.blake2b(key.encode(), digest_size=6).hexdigest()}.json'"): _DIGEST,
    ("training/precision.py", "f'{key}.json'"): _DIGEST,
    ("training/studies.py", "f'{key}.json'"): _DIGEST,
    ("views.py", "f'fused-{how}-{digest}'"): _OURS,
    ("views.py", "place"): _READ,
}


def _joins() -> Iterator[tuple[str, str]]:
    """(file, expression) of every text joined to a path that is put together or called like a name."""
    root = Path(distilseg.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                joined = [node.right]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                joined = node.args * (node.func.attr in _JOINING)
            else:
                continue
            for text in filter(_is_name, joined):
                yield path.relative_to(root).as_posix(), ast.unparse(text)


def _is_name(text: ast.expr) -> bool:
    """Whether a text may come from elsewhere, as far as its expression tells."""
    if isinstance(text, ast.JoinedStr):
        return True
    if not isinstance(text, ast.Name | ast.Attribute | ast.Call):
        return False
    written = ast.unparse(text)
    return bool(_NAMELIKE.search(written)) and not written.startswith(_OF_ITSELF)


def test_every_join_of_a_name_goes_through_component() -> None:
    found = set(_joins())
    assert sorted(found - set(KNOWN)) == [], "let these go through names.component, or say here why not"
    assert sorted(set(KNOWN) - found) == [], "these are gone"


def test_a_name_too_long_for_a_file_costs_its_own_case_alone(tmp_path: Path) -> None:
    """243 bytes are a name on every file system; with what is written beside it, they would not be."""
    long = tmp_path / ("x" * (243 - len(".nii.gz")) + ".nii.gz")
    for path in (long, tmp_path / "case_1.nii.gz"):
        path.write_bytes(b"")
    cases, refused = find_cases(tmp_path, ["CT"])
    assert [case.id for case in cases] == ["case_1"]
    assert "it has 243 bytes with its ending, at most 200 are taken" in refused[str(long)]

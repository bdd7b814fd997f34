"""What `runtime` on NumPy answers, as vectors that its mirror in TypeScript must give again.

    python -m tests.web.vectors        writes web/tests/vectors.json

Networks stand for themselves: the same few products and sums in float32 on both sides, which depend on where
in a window a voxel lies, so that blending shows. Arrays are base64 of their bytes, little-endian.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilseg.data.case import Source
from distilseg.data.planning.fused_plan import fused_plan, organ
from distilseg.data.planning.normalisation import KINDS, Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.axes import axes_along
from distilseg.data.scans.reading import read_scans, write_array, write_label_map
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.export.web.model import _labels, _plan
from distilseg.functional.fitted_windows import fitted
from distilseg.functional.windows import axis_windows, step_starts
from distilseg.runtime.inferers import make_inferer
from distilseg.runtime.predictor import ArtefactPredictor
from distilseg.runtime.views import ArtefactViews

FILE = Path(__file__).parents[2] / "web" / "tests" / "vectors.json"
Floats = NDArray[np.float32]

SLIDING = {"kind": "sliding_window", "patch": [8, 8, 8], "overlap": 0.5}


def vectors() -> dict[str, Any]:
    """All of them; the same every time."""
    return {
        "windows": [_windows(*of) for of in _AXES],
        "fitted": _fitted(),
        "axes": _axes(),
        "cases": list(_cases()),
    }


# size, patch, step, blend
_AXES = [
    (8, 8, 4, "gaussian"),
    (37, 16, 12, "gaussian"),
    (100, 24, 6, "gaussian"),
    (96, 96, 72, "gaussian"),
    (131, 64, 33, "gaussian"),
    (50, 7, 3, "gaussian"),
    (30, 12, 9, "constant"),
]


def _windows(size: int, patch: int, step: int, blend: str) -> dict[str, Any]:
    found = axis_windows(size, patch, step, blend)
    weights = np.stack([window.weight for window in found])
    asked = {"size": size, "patch": patch, "step": step, "blend": blend}
    starts = [window.voxels.start for window in found]
    return {**asked, "starts": starts, "weights": _base64(weights), "steps": step_starts(size, patch, step)}


def _fitted() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        shape = [int(n) for n in rng.integers(4, 300, 3)]
        multiple = [int(n) for n in rng.choice([1, 4, 8, 16], 3)]
        least = [by * int(n) for by, n in zip(multiple, rng.integers(1, 4, 3), strict=True)]
        most = [
            n + by * int(more) for n, by, more in zip(least, multiple, rng.integers(4, 20, 3), strict=True)
        ]
        overlap = [int(n) for n in rng.integers(0, 6, 3)]
        fit = {"multiple": multiple, "least": least, "most": most, "overlap": overlap}
        most_voxels = int(rng.integers(30_000, 3_000_000))
        patch, stride = fitted(shape, *fit.values(), most_voxels)
        found.append({"shape": shape, **fit, "most_voxels": most_voxels, "patch": patch, "stride": stride})
    return found


def _axes() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    affines = []
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product([1, -1], repeat=3)
    ):
        affine = np.zeros((3, 3))
        affine[order, range(3)] = signs
        affines.append(affine @ np.diag([0.7, 1.3, 2.0]))
    for _ in range(30):
        turned = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag(rng.uniform(0.3, 4, 3))
        affines.append(turned.round(6))  # processors differ in the last bit
    affines.append(np.diag([1.0, 0.0, 2.0]))
    found = []
    for affine in affines:
        along = axes_along(np.pad(affine, ((0, 1), (0, 1))))
        told = [None if np.isnan(ras) else [int(ras), bool(to > 0)] for ras, to in along]
        found.append({"affine": affine.tolist(), "along": told})
    return found


# --- whole cases: files in, the file of a label map out


def network(weights: Sequence[Sequence[float]]) -> Callable[[Floats], Floats]:
    """[N M *P] -> [N K *P]: K sums over M, and a pattern of the place in the window; as in `vectors.ts`."""
    A_KM = np.asarray(weights, np.float32)

    def asked(windows: Floats) -> Floats:
        places = np.indices(windows.shape[2:])
        steps = (7, 13, 29)[: len(places)]
        answer = np.empty((len(windows), len(A_KM), *windows.shape[2:]), np.float32)
        for k, A_M in enumerate(A_KM):
            pattern = sum(step * place for step, place in zip(steps, places, strict=True)) + 17 * k
            total = ((pattern % 32) / 64 - 0.25).astype(np.float32) + np.zeros_like(windows[:, 0])
            for m, a in enumerate(A_M):
                total = total + windows[:, m] * a
            answer[:, k] = total
        return answer

    return asked


def _plan_of(**changed: Any) -> Plan:
    labels = changed.pop("labels", {0: "background", 1: "one", 2: "two"})
    modalities = changed.pop("modalities", ("MR",))
    how = changed.pop("how", Normalisation(kind="zscore"))
    return Plan(
        **{
            "dataset": "vectors",
            "modalities": modalities,
            "labels": labels,
            "spacing_mm": (1.0, 1.2, 0.9),
            "normalisation": dict.fromkeys(modalities, how),
            "patch": (8, 8, 8),
            "strides": ((1, 1, 1), (2, 2, 2)),
            **changed,
        }
    )


_NUMBERS = {"low": -50.0, "high": 400.0, "mean": 120.5, "std": 77.25}
_NEEDED = {
    "window_zscore": tuple(_NUMBERS),
    "range": ("low", "high"),
    "range_zscore_nonzero": ("low", "high"),
}
_REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}}


def _cases() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(3)
    for kind in KINDS:  # and an odd type, orientation and geometry with each
        how = Normalisation(kind=kind, **{name: _NUMBERS[name] for name in _NEEDED.get(kind, ())})
        n = KINDS.index(kind)
        yield _case(f"normalisation {kind}", _plan_of(how=how), [SLIDING], rng, **_ODD[n % len(_ODD)])
    for orientation in ("RAS", "LPS", "SAR", "PIL"):
        for crop in ("none", "nonzero", "center"):
            voxels = {"crop_voxels": (9, 30, 7)} if crop == "center" else {}
            plan = _plan_of(orientation=orientation, crop=crop, **voxels)
            yield _case(f"{orientation}, crop {crop}", plan, [SLIDING], rng, rim=3)
    for overlap, blend in itertools.product((0.0, 0.25, 0.75), ("gaussian", "constant")):
        inferer = {**SLIDING, "overlap": overlap, "blend": blend, "batch": 3}
        yield _case(f"overlap {overlap}, {blend}", _plan_of(), [inferer], rng)
    others: dict[str, dict[str, Any]] = {
        "one window, larger than the scan": {**SLIDING, "patch": [24, 40, 24]},
        "mirrored": {**SLIDING, "mirror": True},
        "mirrored along two axes": {**SLIDING, "mirror": [0, 2]},
        "of a stride": {**SLIDING, "stride": [3, 5, 8]},
        "probabilities": {**SLIDING, "average": "probabilities"},
        "fitted": {
            "kind": "fitted_windows",
            "patch": [8, 8, 8],
            "multiple": [4, 4, 4],
            "least": [8, 8, 8],
            "most": [16, 16, 16],
            "overlap": [2, 2, 2],
            "most_voxels": 2048,
        },
        "slices": {"kind": "slices", "patch": [8, 8], "axis": 2, "batch": 3},
        "slices across the first axis, mirrored": {
            "kind": "slices",
            "patch": [16, 8],
            "axis": 0,
            "overlap": 0.5,
            "mirror": True,
        },
        "slices of one window": {"kind": "slices", "patch": [40, 40], "axis": 1},
        "slabs": {"kind": "slabs", "patch": [8, 8, 3], "axis": 2, "divisor": 4},
        "slabs of logits": {
            "kind": "slabs",
            "patch": [5, 8, 8],
            "axis": 0,
            "stride": 2,
            "average": "logits",
            "divisor": 8,
            "pad": "zeros",
            "batch": 2,
        },
        "slabs of one slice": {"kind": "slabs", "patch": [8, 1, 8], "axis": 1, "divisor": 8},
    }
    for name, inferer in others.items():
        yield _case(name, _plan_of(), [inferer], rng)
    for name, inferer in {**others, "as they are": SLIDING}.items():
        if "average" in inferer or inferer["kind"] == "slabs":
            inferer = {**inferer, "activation": "sigmoid"}
        yield _case(f"regions, {name}", _plan_of(**_REGIONS), [inferer], rng, regions=True)
    two = ("CT", "PET")
    yield _case("two modalities", _plan_of(modalities=two), [SLIDING], rng)
    yield _case("values that are no indices", _plan_of(labels={0: "b", 4: "x", 700: "y"}), [SLIDING], rng)
    many = {n: f"s{n}" for n in range(40)}
    yield _case("40 classes, 8 of them told apart by nothing", _plan_of(labels=many), [SLIDING], rng)
    slab = others["slabs"]
    for how, regions in (
        ("vote", False),
        ("mean", False),
        ("threshold", False),
        ("vote", True),
        ("mean", True),
    ):
        plan = _plan_of(**(_REGIONS if regions else {}))
        for views in ([SLIDING, SLIDING, SLIDING], [SLIDING, slab, others["slices"]]):
            cut = "alike" if views[1] == SLIDING else "unlike"
            name = f"{how} of {'regions' if regions else 'classes'}, cut {cut}"
            fusion = {"how": how, "threshold": 0.4}
            yield _case(name, plan, views, rng, regions=regions, fusion=fusion)
    organs = [_plan_of(labels={0: "b", value: name}) for value, name in ((7, "one"), (3, "two"), (7, "one"))]
    fused = fused_plan(["v0", "v1", "v2"], organs, "organs")
    for views in ([SLIDING, SLIDING, SLIDING], [SLIDING, slab, others["slices"]]):
        cut = "alike" if views[1] == SLIDING else "unlike"
        fusion = {"how": "organs", "threshold": 0.55}
        yield _case(f"organs, cut {cut}", fused, views, rng, fusion=fusion, organs=organs)


# How scans may be stored; one each goes with a kind of normalisation.
_ODD: list[dict[str, Any]] = [
    {"dtype": "int16"},
    {"dtype": "float64", "axes": (2, 0, 1)},
    {"dtype": "uint8", "signs": (-1, -1, 1)},
    {"dtype": "float32", "turn": 0.3},
    {"dtype": "int32", "big_endian": True},
    {"dtype": "uint16", "nifti2": True},
    {"dtype": "int16", "scaled": (0.5, -20.0)},
    {"dtype": "int8", "axes": (1, 2, 0), "signs": (1, -1, -1)},
    {"dtype": "float32", "qform_only": True, "turn": 0.2},
    {"dtype": "int64", "turn": 0.1, "axes": (0, 2, 1)},
]


def _case(
    name: str,
    plan: Plan,
    inferers: Sequence[dict[str, Any]],
    rng: np.random.Generator,
    *,
    regions: bool = False,
    fusion: dict[str, Any] | None = None,
    organs: Sequence[Plan] = (),
    **stored: Any,
) -> dict[str, Any]:
    answers = "regions" if regions else "classes"
    plans = organs or [plan] * len(inferers)
    heads, modalities = len(plans[0].logits_of(answers)), len(plan.modalities)
    drawn = [np.round(rng.normal(0, 1, (heads, modalities)), 3) for _ in inferers]
    for A_KM in drawn:
        A_KM[32:] = A_KM[: max(0, heads - 32)]  # whose pattern is that of the class 32 below
    weights = [A_KM.tolist() for A_KM in drawn]
    predictors = tuple(
        ArtefactPredictor(network(A), own, make_inferer(of, classes=heads), answers)
        for A, own, of in zip(weights, plans, inferers, strict=True)
    )
    segmenter = ArtefactViews(predictors, plan, **fusion) if fusion else predictors[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for n, modality in enumerate(plan.modalities):
            paths[modality] = Path(folder) / f"scan_{n}.nii.gz"
            _write(paths[modality], rng, **stored)
        scans = read_scans({modality: Source(path) for modality, path in paths.items()})
        labels = segmenter.segment(scans, case="c")
        image = predictors[0].prepare(scans, case="c").image
        out = Path(folder) / "out.nii"
        write_label_map(out, labels, next(iter(scans.values())))
        files = {modality: _text(path.read_bytes()) for modality, path in paths.items()}
        views = [
            {
                "network": f"network-{n}",
                "sha256": "",
                "bytes": 0,
                "inferer": {"kind": of["kind"], **asdict(predictor.inferer.options)},
                "answers": answers,
                "plan": _plan(predictor.plan),
                **({"organ": plan.classes[1:].index(organ(predictor.plan))} if organs else {}),
            }
            for n, (of, predictor) in enumerate(zip(inferers, predictors, strict=True))
        ]
        return {
            "name": name,
            "plan": _plan(plan),
            "labels": _labels(plan),
            "views": views,
            "fusion": fusion,
            "weights": weights,
            "scans": files,
            "prepared": sha256(image.tobytes()).hexdigest(),
            "written": _text(gzip.compress(out.read_bytes(), mtime=0)),
        }


def _write(
    path: Path,
    rng: np.random.Generator,
    *,
    dtype: str = "int16",
    axes: tuple[int, ...] = (0, 1, 2),
    signs: tuple[int, ...] = (1, 1, 1),
    turn: float = 0.0,
    rim: int = 0,
    big_endian: bool = False,
    nifti2: bool = False,
    scaled: tuple[float, float] | None = None,
    qform_only: bool = False,
) -> None:
    """A scan of smooth blobs and noise."""
    shape = (13, 15, 11)
    places = np.indices(shape) / np.reshape(shape, (3, 1, 1, 1))
    image = 60 * rng.random(shape)
    for _ in range(4):
        centre = rng.uniform(0.2, 0.8, (3, 1, 1, 1))
        image += rng.uniform(50, 250) * (np.square((places - centre) / 0.25).sum(0) < 1)
    image -= 40 * (np.dtype(dtype).kind != "u")
    if rim:
        kept = np.zeros(shape, bool)
        kept[rim:-2, 1:-rim, 2:] = True
        image[~kept] = 0
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    image = image if info is None else np.clip(np.round(image), info.min, info.max)
    affine = np.zeros((4, 4))
    affine[list(axes), range(3)] = signs
    affine[:3, :3] = affine[:3, :3] @ np.diag([1.1, 1.0, 1.7])
    affine[3, 3], affine[:3, 3] = 1, (10.5, -20.25, 3.0)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = turned @ affine
    array = image.astype(dtype)
    if not (big_endian or nifti2 or scaled or qform_only):
        write_array(path, array, Scan(array, Geometry(array.shape, affine), path))
        return
    from nibabel.nifti1 import Nifti1Header, Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    header = (Nifti2Header if nifti2 else Nifti1Header)(endianness=">" if big_endian else "<")
    header.set_data_dtype(array.dtype)
    of = (Nifti2Image if nifti2 else Nifti1Image)(array, affine, header)
    of.header.set_sform(affine, code=0 if qform_only else 2)
    of.header.set_qform(affine, code=1)
    content = bytearray(of.to_bytes())
    if scaled:
        content[112:120] = np.array(scaled, "<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


def _base64(array: NDArray[Any]) -> str:
    return _text(np.ascontiguousarray(array).tobytes())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def main() -> None:
    text = json.dumps(vectors(), separators=(",", ":"))
    FILE.write_text(text + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

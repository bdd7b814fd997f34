"""The page as a person meets it: looked at, driven by keys, on a phone, by night, without WebGL.

What is true is taken from the label map that the page itself saves; that this is the exporter's is shown
elsewhere.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from distilseg.export.web.making import export_page

from ..browser import FOUND, needs_browser
from . import made

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
pytestmark = needs_browser

DRAWS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL 2 without a GPU
NO_WEBGL = ("--disable-3d-apis",)
MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[..., Any]]:
    """Starts the browser with arguments of one's own."""
    with sync_api.sync_playwright() as playwright:
        yield lambda *arguments: playwright.chromium.launch(
            executable_path=FOUND, args=["--no-sandbox", *arguments]
        )


@contextmanager
def opened(browser: Any, page_file: Path, **options: Any) -> Iterator[Any]:
    """The page, opened from its file as by a double click, and no complaint of the browser's on the way."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    context.set_default_timeout(MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(page_file.as_uri())
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def drawing(chromium: Callable[..., Any]) -> Iterator[Any]:
    with chromium(*DRAWS) as browser:
        yield browser


@pytest.fixture
def shown(drawing: Any, page_file: Path) -> Callable[..., AbstractContextManager[Any]]:
    return lambda **options: opened(drawing, page_file, **options)


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., Path]:
    """Writes a scan of bright balls, turned so that no axis is where one would guess it."""

    def write(name: str, shape: tuple[int, int, int] = (40, 48, 36)) -> Path:
        ijk = np.indices(shape).reshape(3, -1).T
        rng = np.random.default_rng(5)
        image = rng.normal(20, 3, shape).ravel()
        for centre, value in (((0.4, 0.4, 0.5), 90), ((0.6, 0.6, 0.5), 160)):
            near = np.linalg.norm(ijk - np.multiply(centre, shape), axis=1) < 0.2 * min(shape)
            image[near] += value
        affine = np.array([[0, -1.2, 0, 30], [1.1, 0, 0, -20], [0, 0, 1.5, 5], [0, 0, 0, 1.0]])
        path = tmp_path / name
        nibabel.save(nibabel.Nifti1Image(image.reshape(shape).astype(np.float32), affine), path)
        return path

    return write


def choose(page: Any, *files: Path) -> None:
    page.locator("input[type=file]").first.set_input_files([str(file) for file in files])


def wait_for(page: Any, name: str, status: str) -> Any:
    """The row of a case, once it stands so."""
    called = page.locator("button.case").get_by_text(name, exact=True)
    found = page.locator(f'.scans tbody tr[data-status="{status}"]').filter(has=called)
    found.wait_for()
    return found


def saved_from(page: Any, press: Callable[[], object], folder: Path) -> Path:
    with page.expect_download() as download:
        press()
    path = folder / "saved" / str(download.value.suggested_filename)
    download.value.save_as(path)
    return path


def pixels(locator: Any) -> NDArray[np.uint8]:
    """What is on the screen there, [H W 3]."""
    with Image.open(io.BytesIO(locator.screenshot())) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("labels", [3, 130])
def test_a_pixel_of_a_labels_colour_is_a_voxel_of_that_label(
    drawing: Any, scan: Any, tmp_path: Path, page_file: Path, labels: int
) -> None:
    if labels > 3:  # NiiVue gave the background of so many the first structure's colour
        names = {0: "background", **{value: f"layer {value}" for value in range(1, labels)}}
        page_file = export_page(
            made.artefact(tmp_path / "many", made.plan_of(labels=names)), tmp_path / "many.html"
        ).path
    with opened(drawing, page_file) as page:
        choose(page, scan("a.nii.gz"))
        done = wait_for(page, "a", "done")
        label_map: Any = nibabel.load(saved_from(page, done.get_by_text("Save").click, tmp_path))
        voxels = np.asarray(label_map.dataobj)
        to_voxel = np.linalg.inv(label_map.affine)
        planes = drawn(page)
        hits = 0
        for item in page.locator(".legend li:not(.none)").all():
            name, value = item.locator(".name").inner_text(), int(item.locator("input").input_value())
            item.get_by_label(f"Show the middle of {name}").click()
            assert page.locator(".place").inner_text().endswith(f" · {name}")
            for quarter in range(3):
                found = inside(pixels(planes), colour_of(item), quarter)
                if found is None:
                    continue
                planes.click(position=found)
                mm, _, told = page.locator(".place").inner_text().split(" · ")
                place_mm = [float(part) for part in mm.removesuffix(" mm").split(",")]
                i, j, k = np.rint(to_voxel @ [*place_mm, 1])[:3].astype(int)
                assert told == name
                assert voxels[i, j, k] == value, (name, place_mm)
                hits += 1
        assert hits >= 4
        covered = pixels(planes)
        page.get_by_label("Opacity").fill("0")
        assert 0.05 < (covered != pixels(planes)).any(axis=2).mean() < 0.25  # the background is left as it is


def drawn(page: Any) -> Any:
    """The canvas of the three planes, labels on it as they are, once it is drawn."""
    page.locator(".pictures:not([aria-busy])").wait_for()
    page.get_by_label("Opacity").fill("100")
    return page.locator(".planes canvas")


def colour_of(item: Any) -> list[int]:
    script = "swatch => getComputedStyle(swatch).backgroundColor.match(/\\d+/g).map(Number)"
    return list(item.locator(".swatch").evaluate(script))


def inside(picture: NDArray[np.uint8], colour: list[int], quarter: int) -> dict[str, int] | None:
    """A pixel all around which a quarter of the picture has this colour; None if there is none."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    top, left = height * (quarter // 2), width * (quarter % 2)
    part = picture[top : top + height, left : left + width].astype(int)
    same = np.abs(part - colour).max(axis=2) <= 2
    whole = np.all([np.roll(same, (dy, dx), (0, 1)) for dy in (-2, 0, 2) for dx in (-2, 0, 2)], axis=0)
    found = np.argwhere(whole)
    if not len(found):
        return None
    y, x = found[len(found) // 2]
    return {"x": int(left + x), "y": int(top + y)}


def test_a_hidden_structure_leaves_the_picture(shown: Any, scan: Any) -> None:
    with shown() as page:
        choose(page, scan("a.nii"))
        wait_for(page, "a", "done")
        planes = drawn(page)
        first = page.locator(".legend li:not(.none)").first
        assert inside(pixels(planes), colour_of(first), 0)
        first.locator("input").uncheck()
        assert not inside(pixels(planes), colour_of(first), 0)


def test_without_webgl_the_label_map_is_saved_all_the_same(
    chromium: Callable[..., Any], page_file: Path, scan: Any, tmp_path: Path
) -> None:
    with chromium(*NO_WEBGL) as browser, opened(browser, page_file) as page:
        choose(page, scan("a.nii"))
        done = wait_for(page, "a", "done")
        assert "no WebGL 2" in page.locator(".note").inner_text()
        assert page.locator(".legend li").count() > 0
        path = saved_from(page, done.get_by_text("Save").click, tmp_path)
        assert path.name == "a.nii"
        assert nibabel.load(path).shape == (40, 48, 36)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(shown: Any, scan: Any, width: int) -> None:
    with shown(viewport={"width": width, "height": 844}) as page:
        choose(page, scan(f"{'long_' * 15}name.nii"), scan("b.nii"))
        wait_for(page, "b", "done")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_keys_alone_choose_run_and_save(shown: Any, scan: Any, tmp_path: Path) -> None:
    with shown() as page:

        def focused() -> str:
            words = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
            return str(page.evaluate(words))

        def to(name: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                if focused() == name:
                    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert outline != "none"
                    return
            raise AssertionError(f"no way to {name!r} by Tab")

        file = str(scan("a.nii.gz"))
        page.on("filechooser", lambda chooser: chooser.set_files([file]))  # before the key: it takes a moment
        to("Choose files")
        page.keyboard.press("Enter")
        wait_for(page, "a", "done")
        assert "a is done" in page.locator("[aria-live=polite]").inner_text()
        to("Save the label map of a")
        path = saved_from(page, lambda: page.keyboard.press("Enter"), tmp_path)
        assert path.name == "a.nii.gz"
        assert nibabel.load(path).shape == (40, 48, 36)
        assert focused() == "Save the label map of a"


def test_arrow_keys_move_the_planes(shown: Any, scan: Any) -> None:
    with shown() as page:
        choose(page, scan("a.nii"))
        wait_for(page, "a", "done")
        place = page.locator(".place")
        place.get_by_text("mm").wait_for()
        before = place.inner_text()
        page.locator(".planes canvas").focus()
        page.keyboard.press("PageUp")
        after = place.inner_text()
        assert before.split(",")[:2] == after.split(",")[:2]
        assert before != after


def test_a_file_called_like_markup_is_text(shown: Any, scan: Any, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='obeyed'>"
    with shown() as page:
        choose(page, scan(f"{name}.nii"))
        done = wait_for(page, name, "done")
        page.get_by_role("heading", name=name).wait_for()
        assert done.locator("img").count() == page.locator("img").count() == 0
        assert page.title() != "obeyed"
        path = saved_from(page, done.get_by_text("Save").click, tmp_path)
        assert not set(path.name) & set('<>:"/\\|?*')


def test_a_running_case_is_cancelled_and_segmented_again(shown: Any, scan: Any) -> None:
    with shown() as page:
        choose(page, scan("large.nii", (150, 150, 150)))
        wait_for(page, "large", "running")
        page.get_by_role("button", name="Cancel large").click()
        wait_for(page, "large", "cancelled")
        assert page.evaluate("document.activeElement.textContent") == "Again"
        choose(page, scan("small.nii"))
        wait_for(page, "small", "done")


def test_one_damaged_scan_has_its_line_and_the_other_is_done(shown: Any, scan: Any, tmp_path: Path) -> None:
    good, cut = scan("good.nii.gz"), tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[:2000])
    (tmp_path / "notes.txt").write_text("no scan")
    with shown() as page:
        choose(page, cut, good, tmp_path / "notes.txt")
        wait_for(page, "good", "done")
        told = wait_for(page, "cut", "refused").locator(".status").inner_text()
        assert "cut" in told
        assert "\n" not in told.strip()
        wait_for(page, "notes.txt", "refused")
        assert page.locator(".scans .heading p").inner_text() == "1 case done, 2 refused"
        table = saved_from(page, page.get_by_role("button", name="Volumes as CSV").click, tmp_path)
        assert [line.split(",")[0] for line in table.read_text("utf-8").splitlines()] == [
            "case", "cut", "good", "notes.txt",
        ]  # fmt: skip


def test_two_scans_are_one_zip(shown: Any, scan: Any, tmp_path: Path) -> None:
    with shown() as page:
        choose(page, scan("a.nii.gz"), scan("b.nii"))
        wait_for(page, "a", "done")
        wait_for(page, "b", "done")
        path = saved_from(page, page.get_by_role("button", name="Save all as zip").click, tmp_path)
        with zipfile.ZipFile(path) as packed:
            assert packed.testzip() is None
            assert packed.namelist() == ["a.nii.gz", "b.nii", "volumes.csv"]
            assert gzip.decompress(packed.read("a.nii.gz"))[344:347] == b"n+1"


def test_a_dropped_folder_gives_its_scans(shown: Any, scan: Any, tmp_path: Path) -> None:
    scan("a.nii.gz")
    (tmp_path / "notes.txt").write_text("no scan")
    with shown() as page:
        session = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            dragged = {"items": [], "files": [str(tmp_path)], "dragOperationsMask": 1}
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": dragged})
        wait_for(page, "a", "done")
        assert "1 file of the folder is no scan" in page.locator(".drop").inner_text()


def test_scans_of_a_case_come_one_by_one_and_which_is_asked_where_no_name_says_it(
    drawing: Any, scan: Any, tmp_path: Path
) -> None:
    several = made.artefact(tmp_path / "several", made.plan_of(modalities=("FLAIR", "T1")))
    with opened(drawing, export_page(several, tmp_path / "several.html").path) as page:
        choose(page, scan("a_0000.nii.gz"))
        assert "Add T1 of this case" in wait_for(page, "a", "incomplete").inner_text()
        choose(page, scan("series t1.nii.gz"), scan("b_t1.nii.gz"), scan("a_t1.nii.gz"))
        wait_for(page, "a", "done")
        asked = wait_for(page, "series t1.nii.gz", "unsure")
        asked.get_by_label("Which scan is this?").select_option("FLAIR")
        wait_for(page, "b", "done")
        page.locator(".pictures:not([aria-busy])").wait_for()
        page.get_by_label("Scan", exact=True).select_option("T1")
        page.locator(".pictures:not([aria-busy])").wait_for()


def test_scans_that_the_viewer_would_misread_are_drawn_as_they_are_read(
    shown: Any, scan: Any, tmp_path: Path
) -> None:
    content = bytearray(gzip.decompress(scan("a.nii.gz").read_bytes()))
    content[108:112] = np.float32(-5).tobytes()  # where the voxels begin
    content[344:348] = bytes(4)  # the magic number
    (tmp_path / "odd.nii.gz").write_bytes(gzip.compress(content[:999]) + gzip.compress(content[999:]))
    places = []
    with shown() as page:
        for name in ("a", "odd"):
            choose(page, tmp_path / f"{name}.nii.gz")
            wait_for(page, name, "done").locator(".case").click()
            page.locator(".pictures:not([aria-busy])").wait_for()
            assert not page.locator(".note").is_visible()
            places.append(page.locator(".place").inner_text())
            page.locator(".place").evaluate("element => element.textContent = ''")
    assert places[0] == places[1]
    assert places[0]


def test_no_picture_of_another_case_stands_below_one_that_cannot_be_drawn(
    shown: Any, scan: Any, tmp_path: Path
) -> None:
    with shown() as page:
        choose(page, scan("a.nii.gz"), scan("b.nii.gz"))
        done = [wait_for(page, name, "done") for name in ("a", "b")]
        canvas = page.locator(".planes canvas")
        assert canvas.is_visible()
        (tmp_path / "b.nii.gz").unlink()
        done[1].locator(".case").click()
        page.locator(".note").get_by_text("cannot be drawn here").wait_for()
        assert not canvas.is_visible()
        done[0].locator(".case").click()
        canvas.wait_for()


@pytest.mark.parametrize("width", [390, 1280])
def test_what_others_wrote_neither_stops_the_page_nor_widens_it(
    drawing: Any, scan: Any, tmp_path: Path, width: int
) -> None:
    plan = made.plan_of(labels={0: "background", 1: "x" * 200, 2: "core"})
    artefact = made.artefact(tmp_path / "artefact", plan)
    # No digest covers the card: anybody may have written in it.
    card = f"# A card\n\n|---|\n\n{'y' * 3000}\n\n| | |\n| {'z' * 300} | - |\n"
    (artefact.path / "README.md").write_text(card, encoding="utf-8")
    page_file = export_page(artefact, tmp_path / "page.html").path
    with opened(drawing, page_file, viewport={"width": width, "height": 844}) as page:
        choose(page, scan("a.nii"))
        wait_for(page, "a", "done")
        page.get_by_text("Model card").click()
        assert page.locator(".card").last.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(shown: Any, scan: Any, scheme: str) -> None:
    with shown(color_scheme=scheme) as page:
        choose(page, scan("a.nii"))
        wait_for(page, "a", "done")
        behind = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(behind) < 200) == (scheme == "dark")
        for words in (".lead", ".faint", ".trust b", ".status span", "button.main", "summary", ".legend .ml"):
            assert contrast(page, words) >= 4.5, words


def contrast(page: Any, words: str) -> float:
    """As of WCAG 2.2, of the first such element against what is painted behind it."""
    colours = page.locator(words).first.evaluate(
        """element => {
          const numbers = text => text.match(/[\\d.]+/g).map(Number);
          const clear = one => (numbers(getComputedStyle(one).backgroundColor)[3] ?? 1) < 1;
          let behind = element;
          while (clear(behind)) behind = behind.parentElement;
          return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(numbers);
        }"""
    )

    def luminance(rgb: list[float]) -> float:
        share = [value / 255 for value in rgb[:3]]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in share]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)

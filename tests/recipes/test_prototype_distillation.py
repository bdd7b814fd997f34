"""From volumes of some phantoms to slices of others: what is shared, what is equal, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distilseg.data.planning.plan import save_plan
from distilseg.data.prototypes import load_prototypes, save_prototypes
from distilseg.distillation.prototypes import Prototypes as Objective
from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.before import before
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Prototypes, Study
from distilseg.training.machine import Machine
from distilseg.training.state import save_state
from distilseg.training.trained import trained

from ..training.small import NETWORK, other_volumes, small_study

CPU = Machine(device="cpu", precision="32-true")
RECIPE = "prototype_distillation"
TINY: dict[str, Any] = {
    "network": "dynunet",
    "network_options": NETWORK,
    "teacher_network_options": NETWORK,
}
STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return small_study(folder / "slices")


@pytest.fixture(scope="module")
def volumes(folder: Path, study: Study) -> dict[str, Any]:
    return other_volumes(folder, study)


@pytest.fixture(scope="module")
def runs(study: Study, volumes: dict[str, Any], folder: Path) -> dict[str, Run]:
    """Distilled and control, the student before and the teacher that came with them."""
    experiment = short(study, **volumes)
    assert experiment.control is not None
    made = {"distilled": make(experiment, folder), "control": make(experiment.control, folder)}
    by_recipe = {run.read(run.experiment)["recipe"]: run for run in find_runs(folder / "runs")}
    assert len(by_recipe) == len(list(find_runs(folder / "runs"))) == 4
    return {**made, "before": by_recipe["prototype_distillation_student"], "teacher": by_recipe["supervised"]}


@pytest.fixture(scope="module")
def file(runs: dict[str, Run]) -> Path:
    """The prototypes that were fitted on the way."""
    (path,) = (runs["teacher"].folder / "prototypes").iterdir()
    return path


def short(study: Study, recipe: str = RECIPE, steps: int = STEPS, **options: Any) -> Experiment:
    made = find(recipe)
    options = {**{name: value for name, value in TINY.items() if name in made.options}, **options}
    return made(study, **options).with_settings(Budget(steps=steps), validations=2, batch_size=4)


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def start_of(experiment: Experiment) -> Experiment:
    assert experiment.continues is not None
    assert isinstance(experiment.continues.run, Experiment)
    return experiment.continues.run


def teacher_of(experiment: Experiment) -> Experiment:
    assert isinstance(experiment.prototypes, Prototypes)
    assert isinstance(experiment.prototypes.teacher, Experiment)
    return experiment.prototypes.teacher


def objective(experiment: Experiment, file: Path) -> Objective:
    spec = experiment.networks["student"]
    shapes = feature_shapes(build(spec), (1, spec.in_channels, *spec.patch))
    method = experiment.method({"student": shapes}, load_prototypes(file))
    assert isinstance(method, Objective)
    return method


@contextmanager
def untouched(runs: dict[str, Run]) -> Iterator[None]:
    """Nothing in these folders is written meanwhile but the claim."""

    def files() -> dict[Path, int]:
        found = [path for run in runs.values() for path in run.folder.rglob("*") if path.name != ".claim"]
        return {path: path.stat().st_mtime_ns for path in found if path.is_file()}

    found = files()
    yield
    assert files() == found


def test_both_go_on_from_the_best_student(
    study: Study, volumes: dict[str, Any], runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    best = load_file(runs["before"].best)
    experiment = short(study, **volumes)
    assert experiment.control is not None
    for one in (experiment, experiment.control):
        seen: list[dict[str, torch.Tensor]] = []

        def stop(objective: Any, *_: Any, seen: list[Any] = seen, **__: Any) -> Any:
            student = objective.tapped["student"].network
            seen.append({name: value.clone() for name, value in student.state_dict().items()})
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("distilseg.training.trained.train", stop)
            with pytest.raises(KeyboardInterrupt):
                trained(
                    replace(one, sampling=replace(one.sampling, pad="zero")),  # a run that is not there yet
                    runs=folder / "runs",
                    machine=CPU,
                    cache=folder / "cache",
                )
        assert best.keys() <= seen[0].keys()
        assert all(torch.equal(seen[0][name], value) for name, value in best.items())
    for name in ("distilled", "control"):
        assert runs[name].read(runs[name].experiment)["continues"] == runs["before"].name
        last = load_file(runs[name].last)
        assert any(not torch.equal(last[weight], value) for weight, value in best.items())


def test_the_control_differs_in_the_prototypes_alone(
    study: Study, volumes: dict[str, Any], runs: dict[str, Run], file: Path
) -> None:
    experiment = short(study, **volumes)
    control = experiment.control
    assert control is not None
    assert control.prototypes is None
    for name in ("study", "networks", "budget", "sampling", "optimisation", "validation", "inferer"):
        assert getattr(control, name) == getattr(experiment, name), name
    assert start_of(control).run_name() == start_of(experiment).run_name()
    assert objective(experiment, file).weights == {"seg": 1.0, "inter": 0.5, "intra": 0.5}
    assert dict(control.method({}).weights) == {"seg": 1.0, "inter": 0.0, "intra": 0.0}
    rows = {name: read_rows(runs[name].losses) for name in ("distilled", "control")}
    assert len(rows["distilled"]) == len(rows["control"]) == round(0.67 * STEPS)
    first = {name: float(table[0]["seg"]) for name, table in rows.items()}
    assert first["distilled"] == first["control"]  # the same weights see the same patches
    assert all(float(row["inter"]) > 0 and float(row["intra"]) > 0 for row in rows["distilled"])
    assert all(float(row["total"]) == float(row["seg"]) for row in rows["control"])
    about = runs["distilled"].read(runs["distilled"].experiment)
    assert about["control"] == runs["control"].name
    assert tuple(about["prototypes"]["prototypes"]) == study.plan.classes


def test_shares_of_budget_and_rate(study: Study, volumes: dict[str, Any]) -> None:
    made = find(RECIPE)(study, **TINY, **volumes, second_share=0.5, rate_share=0.2)
    usual = start_of(made).optimisation.learning_rate
    assert made.optimisation.learning_rate == 0.2 * usual
    assert (start_of(made).budget.epochs, made.budget.epochs) == (30, 15)
    asked = made.with_settings(Budget(epochs=8, minutes=4), learning_rate=0.5, batch_size=7)
    again = asked.with_settings(Budget(epochs=8, minutes=4), learning_rate=0.5)
    for one in (asked, again):
        assert one.control is not None
        for second in (one, one.control):
            assert second.budget == Budget(epochs=4, minutes=2)
            assert second.optimisation.learning_rate == pytest.approx(0.1)
            first = start_of(second)
            assert first.budget == Budget(epochs=8, minutes=4)
            assert (first.optimisation.learning_rate, first.sampling.batch_size) == (0.5, 7)
        teacher = teacher_of(one)
        assert teacher.budget == Budget(epochs=8, minutes=4)
        assert teacher.sampling == teacher_of(made).sampling
        assert teacher.optimisation == teacher_of(made).optimisation
    assert made.with_settings(patience=2).budget == made.budget  # no new budget: the shares stand


def test_one_teacher_for_every_seed_number_of_subjects_and_ablation(
    study: Study, volumes: dict[str, Any]
) -> None:
    fewer = replace(study, split=replace(study.split, train=study.split.train[:1]), subjects=1)
    made = [short(study, **volumes), short(replace(study, seed=1), **volumes), short(fewer, **volumes)]
    made += [short(study, f"{RECIPE}_{name}", **volumes) for name in ("inter", "intra")]
    assert len({one.run_name() for one in made}) == len(made)
    assert len({teacher_of(one).run_name() for one in made}) == 1
    starts = [start_of(one).run_name() for one in made]
    assert starts[3:] == [starts[0]] * 2
    assert len(set(starts)) == 3
    controls = {one.control.run_name() for one in (made[0], *made[3:]) if one.control}
    assert len(controls) == 1
    alone = short(study, "prototype_distillation_control")
    assert {alone.run_name()} == controls
    assert short(study, "prototype_distillation_student").run_name() == starts[0]
    other = short(study, **volumes, teacher_seed=1)
    assert teacher_of(other).run_name() != teacher_of(made[0]).run_name()


def test_found_again(study: Study, volumes: dict[str, Any], runs: dict[str, Run], folder: Path) -> None:
    with untouched(runs):
        assert make(short(study, **volumes), folder).name == runs["distilled"].name


def test_a_second_student_takes_the_prototypes_that_were_fitted(
    study: Study,
    volumes: dict[str, Any],
    runs: dict[str, Run],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refit(*_: Any, **__: Any) -> Any:
        raise AssertionError("fitted twice")

    monkeypatch.setattr("distilseg.training.fitted.fit_prototypes", refit)
    with untouched(runs):
        make(short(study, **volumes, beta=0.25), folder)


def test_interrupted_it_resumes_to_the_same_weights(
    study: Study,
    volumes: dict[str, Any],
    runs: dict[str, Run],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first weights come from the other run once, at the beginning."""
    saved = save_state

    def save_and_die(path: Path, state: Any, *rest: Any) -> None:
        saved(path, state, *rest)
        if "distillation-" in path.parent.name and state.step == 2:
            raise KeyboardInterrupt

    experiment = short(study, **volumes)
    monkeypatch.setattr("distilseg.training.trained.save_state", save_and_die)

    def once_more() -> Run:
        return trained(experiment, runs=tmp_path, machine=CPU, cache=folder / "cache", save_every_s=0)

    with pytest.raises(KeyboardInterrupt):
        once_more()
    run = once_more()
    assert run.name == runs["distilled"].name
    assert run.losses.read_bytes() == runs["distilled"].losses.read_bytes()
    ours, theirs = load_file(run.last), load_file(runs["distilled"].last)
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_what_is_asked_for_is_another_run(
    study: Study, volumes: dict[str, Any], file: Path, tmp_path: Path
) -> None:
    base = short(study, **volumes)
    others = [
        short(study, **volumes, **options)
        for options in (
            {"beta": 1.0},
            {"activation": "softmax_after_mean"},
            {"granularity": "flat"},
            {"organs": ("liver",)},
            {"slice_to": 0.5},
            {"reduce": "pixel_mean"},
            {"class_map": {"liver": "liver"}},
            {"second_share": 1.0},
            {"rate_share": 1.0},
        )
    ]
    others += [short(study, prototypes=str(file)), short(study, **volumes, steps=7)]
    assert len({base.run_name(), *(one.run_name() for one in others)}) == 1 + len(others)
    copied = tmp_path / "prototypes.json"
    copied.write_bytes(file.read_bytes())
    now = short(study, prototypes=str(copied)).run_name()
    save_prototypes(copied, load_prototypes(file).model_copy(update={"dataset": "other"}))
    assert short(study, prototypes=str(copied)).run_name() != now


def test_a_file_or_a_finished_teacher_gives_the_same_student(
    study: Study, runs: dict[str, Run], file: Path, folder: Path
) -> None:
    by_file = make(short(study, prototypes=str(file)), folder)
    by_teacher = make(short(study, teacher=str(runs["teacher"].folder)), folder)
    losses = runs["distilled"].losses.read_bytes()
    assert by_file.losses.read_bytes() == losses
    assert by_teacher.losses.read_bytes() == losses


@pytest.mark.parametrize(("recipe", "weights"), [("inter", (0.5, 0.0)), ("intra", (0.0, 0.5))])
def test_ablations(recipe: str, weights: tuple[float, float], study: Study, file: Path) -> None:
    made = short(study, f"{RECIPE}_{recipe}", prototypes=str(file))
    assert made.recipe == f"{RECIPE}_{recipe}"
    method = objective(made, file)
    assert (method.weights["inter"], method.weights["intra"]) == weights
    assert made.control is not None
    assert made.control.recipe == "prototype_distillation_control"


def test_prototypes_come_from_one_place(
    study: Study, volumes: dict[str, Any], file: Path, runs: dict[str, Run]
) -> None:
    with pytest.raises(UserError, match=r"^prototypes are asked of nobody; give --data-3d"):
        short(study)
    with pytest.raises(UserError, match=r"^prototypes are asked of --data-3d and of --prototypes"):
        short(study, **volumes, prototypes=str(file))
    with pytest.raises(UserError, match="asked of --data-3d and of --teacher and of --prototypes"):
        short(study, **volumes, teacher=str(runs["teacher"].folder), prototypes=str(file))


def test_other_classes_are_refused_before_anything_is_trained(
    study: Study, volumes: dict[str, Any], file: Path, runs: dict[str, Run], tmp_path: Path
) -> None:
    """Both lists are told, for a file, a finished teacher and one that is to be trained."""
    labels = {**study.plan.labels, 1: "hepar"}
    other = replace(
        study,
        plan=study.plan.model_copy(update={"labels": labels}),
        dataset=replace(study.dataset, labels=labels),
    )
    told = r"of the classes background, liver, spleen.*; the student's are background, hepar, spleen"
    places: list[dict[str, Any]] = [
        {"prototypes": str(file)},
        {"teacher": str(runs["teacher"].folder)},
        volumes,
    ]
    for options in places:
        with pytest.raises(UserError, match=told):
            short(other, **options)
        made = short(other, **options, class_map={"hepar": "liver", "spleen": "spleen"})
        method = objective(made, file)
        assert method.classes == method.channels == (0, 1, 2)
        assert method.values_KC.shape == (3, 3)
        with pytest.raises(UserError, match="unknown class of the prototypes in class_map 'lever'"):
            short(other, **options, class_map={"hepar": "lever"})


def test_shared_classes_alone_are_learned_from(study: Study, file: Path, folder: Path) -> None:
    run = make(short(study, prototypes=str(file), class_map={"liver": "liver", "spleen": "kidney"}), folder)
    assert all(float(row["inter"]) > 0 for row in read_rows(run.losses))
    values = load_prototypes(file).values_KC
    method = objective(
        short(study, prototypes=str(file), class_map={"liver": "liver", "spleen": "kidney"}), file
    )
    torch.testing.assert_close(method.values_KC, torch.from_numpy(values[[0, 1, 3]][:, [0, 1, 3]]).float())


def test_numbers_of_another_kind_are_refused_at_once(
    study: Study, volumes: dict[str, Any], file: Path
) -> None:
    with pytest.raises(
        UserError, match=r"^the prototypes are means of logits, the student's would be of a s"
    ):
        short(study, prototypes=str(file), activation="softmax_before_mean")
    fitted = short(study, **volumes, activation="softmax_before_mean").prototypes
    assert isinstance(fitted, Prototypes)
    assert fitted.options["softmax"]
    places: list[dict[str, Any]] = [{"prototypes": str(file)}, volumes]
    for options in places:
        with pytest.raises(UserError, match="are of the teacher's logits, the student's would be of its dec"):
            short(study, **options, feature="decoder.0")
    with pytest.raises(
        UserError, match=r"are of the teacher's decoder\.0, the student's would be of its logits"
    ):
        short(study, **volumes, teacher_feature="decoder.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": "decoder.9", "teacher_feature": "decoder.0"}, "feature of the student 'decoder.9'"),
        ({"feature": "decoder.0", "teacher_feature": "decoder.9"}, "feature of the teacher 'decoder.9'"),
        ({"organs": ("lever",)}, "unknown organ 'lever'; did you mean 'liver'"),
        ({"slice_from": 0.9, "slice_to": 0.1}, "slices are to be taken from 0.9 to 0.1"),
        ({"scores": "scores.json"}, "scores and the range of scores belong together"),
        ({"score_range": (1, 2)}, "scores and the range of scores belong together"),
        ({"scores": "none.json", "score_range": (1, 2)}, "there is no file of scores none.json"),
        ({"second_share": 0.0}, "the share of the budget is 0.0"),
        ({"rate_share": 0.0}, "the learning rate is 0"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(
    options: dict[str, Any], message: str, study: Study, volumes: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=message):
        short(study, **volumes, **options)


def test_a_feature_of_each_through_a_learned_projection(
    study: Study, volumes: dict[str, Any], folder: Path
) -> None:
    experiment = short(study, **volumes, feature="decoder.0", teacher_feature="decoder.1")
    run = make(experiment, folder)
    assert all(float(row["inter"]) > 0 for row in read_rows(run.losses))
    about = run.read(run.experiment)["prototypes"]
    assert (about["feature"], {len(z) for z in about["prototypes"].values() if z}) == ("decoder.1", {8})
    weights = load_file(run.best)
    assert weights.keys() == load_file(make(start_of(experiment), folder).best).keys()  # it is not shipped
    file = next(
        path
        for path in (make(teacher_of(experiment), folder).folder / "prototypes").iterdir()
        if load_prototypes(path).feature == "decoder.1"
    )
    projection = objective(experiment, file).projection
    assert isinstance(projection, torch.nn.Conv2d)
    assert (projection.in_channels, projection.out_channels) == (4, 8)


def test_scores_say_which_slices_count(
    study: Study, volumes: dict[str, Any], tmp_path: Path, folder: Path
) -> None:
    scores = tmp_path / "scores.json"
    ids = json.loads(Path(volumes["split_3d"]).read_text())["train"]
    scores.write_text(json.dumps({id: [float(slice) for slice in range(20)] for id in ids}))
    experiment = short(study, **volumes, scores=str(scores), score_range=(8, 11))
    needed = before(experiment, lambda one: make(one, folder), CPU, folder / "cache").prototypes
    assert needed is not None
    assert needed.slice_range == {"by": "score", "lowest": 8.0, "highest": 11.0}
    assert needed.slices["background"] == 4 * len(ids)
    fewer = short(study, **volumes, scores=str(scores), score_range=(8, 9))
    assert fewer.run_name() != experiment.run_name()


def test_patients_of_both_are_refused(study: Study, runs: dict[str, Run], tmp_path: Path) -> None:
    """Where volumes and slices are of one folder; with disjoint patients it is allowed."""
    ids = [case.id for case in study.dataset.cases]
    plan, split = tmp_path / "plan.json", tmp_path / "split.json"
    save_plan(plan, study.plan)
    data: dict[str, Any] = {
        "data_3d": str(study.dataset.folder),
        "plan_3d": str(plan),
        "split_3d": str(split),
    }
    own = replace(
        study, split=replace(study.split, train=tuple(ids[:1]), validation=(ids[1],), test=(ids[2],))
    )
    split.write_text(json.dumps({"train": [ids[3]], "validation": [ids[4]], "test": [ids[2]]}))
    with pytest.raises(
        UserError, match=rf"^1 patients of .*, such as {ids[2]}; name other patients by --split"
    ):
        short(own, **data)
    split.write_text(json.dumps({"train": [ids[3]], "validation": [ids[4]], "test": [ids[5]]}))
    experiment = short(own, **data)
    assert teacher_of(experiment).study.split.train == (ids[3],)


def test_patients_of_a_finished_teacher_are_refused(study: Study, folder: Path) -> None:
    taught = make(find("supervised")(study, network_options=NETWORK).with_settings(Budget(steps=1)), folder)
    with pytest.raises(UserError, match=r"^6 patients of .* are in the slices and in the volumes"):
        short(study, teacher=str(taught.folder))
    with pytest.raises(UserError, match="is not a run folder"):
        short(study, teacher="nowhere")


def test_the_usual_students_and_teachers_fit(study: Study, volumes: dict[str, Any]) -> None:
    """The paper's networks; any plan of slices or volumes is turned into slices."""
    for student in ("deeplab_v3", "deeplab_v3_plus", "swin_unet", "missformer"):
        made = find(RECIPE)(study, **volumes, network=student, teacher_network="dynunet")
        assert len(made.networks["student"].patch) == 2
        assert made.inferer["kind"] == "slices"
        assert teacher_of(made).networks["student"].patch == (16, 16, 16)

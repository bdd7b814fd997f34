"""Which recipes there are: every public function of this package that takes a `study`, and every variant."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import UserError, unknown
from .variant import Variant

if TYPE_CHECKING:
    from ..training.experiment import Experiment, Study

CROSSED = "Two methods together"


@dataclass(frozen=True)
class Recipe:
    """A recipe and what can be said of it without running it."""

    name: str
    make: Callable[..., Experiment]
    source: str = ""  # a digest of the user's own file that holds it

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @property
    def is_ablation(self) -> bool:
        """Whether it is another recipe with one thing changed, or with nothing."""
        return isinstance(self.make, Variant) or self.summary.startswith("Ablation")

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """Its keyword options, with annotations (as text) and defaults."""
        parameters = inspect.signature(self.make).parameters.values()
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def _takes_any_network(self) -> bool:
        """Whether its network is a mere default, not a paper's own."""
        network = self.options.get("network")
        return network is not None and network.default == "dynunet" and "network_options" in self.options

    def __call__(self, study: Study, **options: Any) -> Experiment:
        """The experiment. An option that the recipe has not raises UserError with those it has.

        A recipe for any network, of which none is named, takes the one that the plan recommends.
        """
        for name in options:
            if name not in self.options:
                raise unknown(f"option of the recipe {self.name}", name, self.options or ["(it has none)"])
        if study.plan.network and self._takes_any_network and not {"network", "network_options"} & {*options}:
            options["network"] = study.plan.network
        made = self.make(study, **options)
        self._check_unlabelled(study, made)
        return replace(_for_the_record(made, options), source=self.source)

    def _check_unlabelled(self, study: Study, made: Experiment) -> None:
        """Scans without labels that the recipe would leave aside are refused."""
        if not study.unlabelled or made.study.unlabelled or made.teachers:
            return
        why = "it has no teacher that answers for them"
        if made.prototypes is not None:
            why = "prototypes are compared class by class, over labelled voxels"
        raise UserError(
            f"{self.name} learns nothing from scans without labels: {why}",
            "leave out --unlabelled, or take a recipe with a teacher, such as distil",
        )


def _for_the_record(experiment: Experiment, options: Mapping[str, Any]) -> Experiment:
    """Notes what was asked for, in the control as far as it knows those options."""
    control = experiment.control
    if control is not None:
        control = _for_the_record(control, {k: v for k, v in options.items() if k in control.options})
    return replace(experiment, asked=dict(options), control=control)


def recipes() -> dict[str, Recipe]:
    """All recipes of this package by name, in the order of files and lines."""
    package = importlib.import_module(__package__)
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [importlib.import_module(f"{__package__}.{name}") for name in modules]
    return {recipe.name: recipe for module in found for recipe in _recipes_in(module)}


@dataclass(frozen=True)
class Group:
    """The recipes of a paper, or of a kind: each with its ablations below it."""

    title: str
    when: str  # it pays, as far as was shown on real scans
    recipes: Mapping[Recipe, tuple[Recipe, ...]]


def groups() -> list[Group]:
    """All recipes of this package by paper, those of several papers last.

    A file says by `TITLE` whose its recipes are; files that say the same are one group, and one of them says
    by `WHEN` when they pay. An ablation stands below the recipe that it is made of, if that is of the same
    group, else below the group's first.
    """
    by_title: dict[str, list[Recipe]] = {}
    when: dict[str, str] = {}
    for recipe in recipes().values():
        module = sys.modules[recipe.make.__module__]
        by_title.setdefault(module.TITLE, []).append(recipe)
        if hasattr(module, "WHEN"):
            when[module.TITLE] = module.WHEN
    found = [Group(title, when[title], _with_ablations(members)) for title, members in by_title.items()]
    return sorted(found, key=lambda group: (group.title == CROSSED, "supervised" not in _names(group)))


def _names(group: Group) -> list[str]:
    return [recipe.name for recipe in group.recipes]


def _with_ablations(members: Sequence[Recipe]) -> dict[Recipe, tuple[Recipe, ...]]:
    main = [one for one in members if not one.is_ablation]
    below: dict[Recipe, list[Recipe]] = {one: [] for one in main}
    for one in members:
        if one.is_ablation:
            of = one.make
            while isinstance(of, Variant):
                of = of.recipe
            below[next((m for m in main if m.make is of), main[0])].append(one)
    return {one: tuple(ablations) for one, ablations in below.items()}


def find(name: str) -> Recipe:
    """The recipe called `name`, or at `my_file.py:function`; raises UserError with the known names."""
    known = recipes()
    if name in known:
        return known[name]
    path, colon, function = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise unknown("recipe", name, known, listed_by="distilseg recipes")
    from ..training.experiment import file_digest

    loaded = _recipes_in(_load(Path(path)))
    own = {recipe.name: replace(recipe, source=file_digest(Path(path))) for recipe in loaded}
    if function not in own:
        raise UserError(
            f"{path} has no recipe {function!r}; it has {', '.join(own) or 'none'}",
            "a recipe is a function whose first parameter is `study` and that returns an Experiment",
        )
    return own[function]


def _recipes_in(module: ModuleType) -> list[Recipe]:
    functions = [
        value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType | Variant)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    return [
        Recipe(f.__name__, f) for f in functions if next(iter(inspect.signature(f).parameters), "") == "study"
    ]


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {path}", "give the path of a Python file that holds a recipe")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        raise UserError(
            f"{path} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})", "repair it"
        ) from error
    return module

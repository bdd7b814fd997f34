"""A recipe out of a recipe, in which only what differs is written down.

An ablation fixes options, and is a line:

    dsd_sdd = variant(dual_self_distillation, "Ablation SDD: nothing in the encoder.", alpha=0.0)

A recipe that does more than that is a function, which takes over options and hands them on:

    @inherits(teach_former, "teachers", "student", teacher_outputs="live")
    def teach_former_of_slices(study: Study, given: Given) -> Experiment:
        ...
        return teach_former(slices, **given)

Types, defaults and help of these options stand at the first recipe alone. Both look to Python, to the command
line and to the documentation like functions that had been written out. A name that is no option of the first
recipe is refused as soon as the file is read.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import unknown

if TYPE_CHECKING:
    from ..training.experiment import Experiment, Study

MakeExperiment = Callable[..., "Experiment"]
Given = Mapping[str, Any]  # values of options, by name
Parameters = dict[str, inspect.Parameter]


class Variant:
    """A recipe of which some options are fixed. It is called as the variable that holds it."""

    def __init__(
        self,
        recipe: MakeExperiment,
        summary: str,
        fixed: Given,
        offers: Sequence[str] | None,
        home: Mapping[str, Any],
    ) -> None:
        """`home` are the variables of the file that it is written in."""
        self.recipe, self.fixed, self._home = recipe, fixed, home
        _taken(recipe, fixed)
        offered = _taken(recipe, _options(recipe) if offers is None else offers)
        self.__module__ = home["__name__"]
        self.__wrapped__ = recipe
        options = {name: option for name, option in offered.items() if name not in fixed}
        _describe(self, recipe, options, summary, _explained(recipe)[1])

    @property
    def __name__(self) -> str:
        for name, value in self._home.items():
            if value is self:
                return name
        raise AttributeError("a variant is called as the variable of its file that holds it; there is none")

    def __call__(self, study: Study, **options: Any) -> Experiment:
        """The experiment; with nothing fixed it is the recipe's own run, else one of this name."""
        inspect.signature(self).bind(study, **options)
        made = self.recipe(study, **self.fixed, **options)
        return renamed(made, self.__name__) if self.fixed else made


def variant(
    recipe: MakeExperiment, summary: str, *, offers: Sequence[str] | None = None, **fixed: Any
) -> Variant:
    """`recipe` with the options `fixed`, which it no longer has; assign it to its name in a file.

    `summary` is what its docstring would begin with. `offers` names the options that it has; default: all.
    """
    return Variant(recipe, summary, fixed, offers, home=sys._getframe(1).f_globals)


def inherits(
    recipe: Callable[..., Any], *names: str, own_first: bool = False, **defaults: Any
) -> Callable[[MakeExperiment], MakeExperiment]:
    """Decorates a recipe that has options of another, or of any function; without `names` all of them.

    The options in `defaults` are inherited with that default. Inherited options stand before the function's
    own, with `own_first` after them. The decorated function is given the study, then the inherited options'
    values as one mapping, then its own options. Decorated twice, it is given two mappings, first that of the
    decorator that stands nearer. What its own docstring says of an inherited option goes before what is said
    at `recipe`.
    """
    taken = _taken(recipe, names if names or defaults else _options(recipe))
    taken |= {name: p.replace(default=defaults[name]) for name, p in _taken(recipe, defaults).items()}

    def decorate(function: MakeExperiment) -> MakeExperiment:
        own = _options(function)
        options = {**own, **taken} if own_first else {**taken, **own}
        if twice := taken.keys() & own.keys():
            raise TypeError(f"{function.__name__} inherits {', '.join(sorted(twice))} and has it, too")

        @functools.wraps(function)
        def made(study: Study, *given: Given, **options: Any) -> Experiment:
            inherited = {name: options.pop(name, p.default) for name, p in taken.items()}
            return function(study, inherited, *given, **options)

        text, said = _explained(function, taken)
        theirs = {name: line for name, line in _explained(recipe)[1].items() if name in taken}
        _describe(made, function, options, text, theirs | said)
        return made

    return decorate


def renamed(experiment: Experiment, recipe: str) -> Experiment:
    """The experiment and its other views as runs of the recipe of that name."""
    views = tuple(replace(view, recipe=recipe) for view in experiment.views)
    return replace(experiment, recipe=recipe, views=views)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """With types for annotations, unless some are named for type checkers only."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        return inspect.signature(function)


def _options(function: Callable[..., Any]) -> Parameters:
    parameters = _signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def _taken(function: Callable[..., Any], names: Iterable[str]) -> Parameters:
    """These of its options; one that it has not raises UserError."""
    known = _options(function)
    for name in names:
        if name not in known:
            raise unknown(f"option of {function.__name__}", name, known)
    return {name: known[name] for name in names}


def _describe(
    derived: Any, like: Callable[..., Any], options: Parameters, text: str, explained: Mapping[str, str]
) -> None:
    """Gives `derived` the signature of `like` with these options, and a docstring that explains them."""
    signature = _signature(like)
    parameters = [next(iter(signature.parameters.values())), *options.values()]
    derived.__signature__ = signature.replace(parameters=parameters)
    derived.__annotations__ = {p.name: p.annotation for p in parameters}
    derived.__annotations__["return"] = signature.return_annotation
    lines = [explained[name] for name in options if name in explained]
    derived.__doc__ = "\n".join([text, "", *lines]).strip()


def _explained(function: Callable[..., Any], inherited: Iterable[str] = ()) -> tuple[str, dict[str, str]]:
    """Its docstring without the lines "option: what it is", and these by option."""
    options = {*_options(function), *inherited}
    text: list[str] = []
    lines: dict[str, str] = {}
    option = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        begins, colon, _ = line.partition(": ")
        if colon and begins in options:
            option, lines[begins] = begins, line
        elif option and line:
            lines[option] += f"\n{line}"
        else:
            option = ""
            text.append(line)
    return "\n".join(text).strip(), lines

"""Shows derived recipes with the options and the help that they take over, which their files do not hold."""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

from distilseg.recipes import Recipe, recipes


class DerivedRecipes(griffe.Extension):
    """Griffe calls it once the package has been read."""

    def on_package(self, *, pkg: griffe.Module, **others: Any) -> None:
        for recipe in recipes().values() if pkg.name == "distilseg" else ():
            if hasattr(recipe.make, "__wrapped__"):
                module = pkg[recipe.make.__module__.removeprefix("distilseg.")]
                module.set_member(recipe.name, _shown(recipe, module[recipe.name]))


def _shown(recipe: Recipe, written: griffe.Object) -> griffe.Function:
    parameters = inspect.signature(recipe.make).parameters.values()
    return griffe.Function(
        recipe.name,
        lineno=written.lineno,
        endlineno=written.endlineno,
        parent=written.parent,
        parameters=griffe.Parameters(*map(_parameter, parameters)),
        returns="Experiment",
        docstring=griffe.Docstring(inspect.getdoc(recipe.make) or "", parent=written, lineno=written.lineno),
    )


def _parameter(parameter: inspect.Parameter) -> griffe.Parameter:
    annotation = inspect.formatannotation(parameter.annotation)
    return griffe.Parameter(
        parameter.name,
        annotation=re.sub(r"(\w+\.)+", "", annotation),
        kind=griffe.ParameterKind[parameter.kind.name.lower()],
        default=None if parameter.default is parameter.empty else repr(parameter.default),
    )

"""Fills `reference/command-line.md` with every command and option, so that the page cannot go stale."""

from __future__ import annotations

from typing import Any

PAGE, MARK = "reference/command-line.md", "<!-- every command -->"


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """MkDocs calls this for every page."""
    return markdown.replace(MARK, every_command()) if page.file.src_uri == PAGE else markdown


def every_command() -> str:
    """A section per command, and under `train` one per recipe with the options that are its own."""
    from typer.main import get_command

    from distilseg.cli.tree import app_for

    root: Any = get_command(app_for(["train"]))
    parts = [_section("##", f"distilseg {n}", c, c.params) for n, c in root.commands.items() if n != "train"]
    recipes = root.commands["train"].commands
    shared = {p.name for p in recipes["supervised"].params} - {"network", "network_options"}
    common = [p for p in recipes["supervised"].params if p.name in shared]
    parts.append(_section("##", "distilseg train", root.commands["train"], common))
    for name, recipe in recipes.items():
        own = [p for p in recipe.params if p.name not in shared]
        parts.append(_section("###", f"train {name}", recipe, own))
    return "\n\n".join(parts)


def _section(level: str, title: str, command: Any, parameters: list[Any]) -> str:
    told = [f"{level} {title}", " ".join((command.help or "").split())]
    rows = [_row(p) for p in parameters if p.name != "help"]
    if rows:
        told.append("\n".join(["| option | default | |", "|---|---|---|", *rows]))
    if examples := [line.strip() for line in (command.epilog or "").splitlines() if "distilseg" in line]:
        told.append("```text\n" + "\n".join(line.strip("`*- ") for line in examples) + "\n```")
    return "\n\n".join(told)


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    if not names[0].startswith("-"):
        names = [(parameter.metavar or parameter.name).upper()]
    default = parameter.default
    shown = "required" if parameter.required else "" if default in (None, False, [], ()) else f"`{default}`"
    words = (getattr(parameter, "help", None) or "").replace("|", "\\|")
    return f"| {', '.join(f'`{name}`' for name in names)} | {shown} | {words} |"

"""Whether a command line that stands in a manifest or a runbook is one that Footfall's program takes."""

from __future__ import annotations

from typing import Any

import click

from server.cli import program


def problem_of(arguments: list[str]) -> str:
    """What is wrong with `footfall …`, or nothing. Parses with the real commands and runs none of them."""
    command: click.Command = program
    types: dict[click.Parameter, click.ParamType[Any]] = {}
    context = click.Context(command, info_name=arguments[0])
    rest = arguments[1:]
    try:
        while isinstance(command, click.Group):
            if not rest:
                return f"{context.command_path} wants a command"
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command = found
            context = click.Context(command, info_name=name, parent=context)
        # Files that a command line names need not be here.
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                types[parameter] = parameter.type
                parameter.type = click.STRING
        command.make_context(context.info_name or "", list(rest), parent=context.parent)
    except click.ClickException as error:
        return error.format_message()
    finally:
        for parameter, type_ in types.items():
            parameter.type = type_
    return ""

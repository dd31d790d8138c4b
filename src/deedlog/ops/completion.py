"""`deedlog completion`: the script that lets a shell complete verbs, options and names."""

import click
from click.shell_completion import get_completion_class

from deedlog.errors import NotSupported


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes this program's verbs, options and names in a shell.

    Names of projections and read models complete where an app is found: by --app, DEEDLOG_APP or pyproject.toml.

    \b
    Example: eval "$(deedlog completion bash)"        in ~/.bashrc; zsh in ~/.zshrc
    Example: deedlog completion fish | source         in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # click can be told to forget a shell
        raise NotSupported(f"no completion for {shell}", fix="bash, zsh or fish")
    click.echo(kind(ctx.find_root().command, {}, "deedlog", "_DEEDLOG_COMPLETE").source())

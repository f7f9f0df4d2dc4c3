"""What commands print: one console, one way to say where something was written, names made harmless."""

from os import PathLike

from rich.console import Console
from rich.markup import escape


def console(stderr: bool = False) -> Console:
    """A console on the present standard output, or error output."""
    return Console(highlight=False, stderr=stderr, soft_wrap=True)


def safe(text: object) -> str:
    """A name from a user or a file for markup: brackets are characters, control characters are shown and not obeyed."""
    shown = "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in str(text)
    )
    return escape(shown)


def wrote(what: str, path: str | PathLike) -> str:
    """`12 rows → file`, as markup; `what` is markup already."""
    return f"{what} → [bold]{safe(path)}[/]" if what else f"→ [bold]{safe(path)}[/]"

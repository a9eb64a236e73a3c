"""``pilotage deadletter``: messages that could not be read, and requests on which something failed."""

from typing import Annotated

import typer

from pilotage.cli.desk import visit
from pilotage.cli.options import Config

app = typer.Typer(help="Look at messages that were set aside, mend them, and try again.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `deadletter list` shows it.")]
Database = Annotated[str | None, typer.Option(metavar="URL", help="Database [POSTGRES_CONN].")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Class = Annotated[str, typer.Option("--class", help="Only this class: malformed, conflict, bug.")]


@app.command("list")
def list_(
    error_class: Class = "",
    state: Annotated[str, typer.Option(help="kept or retried.")] = "kept",
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    as_json: Json = False,
    database: Database = None,
    config: Config = None,
) -> None:
    """Show dead letters, newest first, each with the field and the reason."""
    import msgspec

    letters = visit(config, database, lambda s: s.dead_letters(error_class=error_class, state=state, limit=limit))
    for each in letters:
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        else:
            typer.echo(
                f"{each['id']:>6}  {each['error_class']:<9}  {each['task_id'] or '-'}"
                f"  {each['field']}: {each['reason']}"
            )
    if not letters and not as_json:
        typer.echo("No dead letters.")


@app.command()
def show(number: Number, database: Database = None, config: Config = None) -> None:
    """Show one dead letter with its body, as JSON."""
    import msgspec

    letter = visit(config, database, lambda s: s.dead_letter(number))
    typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2).decode())


@app.command()
def retry(
    number: Annotated[
        int | None, typer.Argument(min=1, metavar="[NUMBER]", help="One of them; none: all of --class.")
    ] = None,
    body: Annotated[str | None, typer.Option(metavar="FILE", help="The mended request (JSON).")] = None,
    error_class: Class = "",
    database: Database = None,
    config: Config = None,
) -> None:
    """Submit dead letters again, mended or as they are, under new ids: what was told of the old ones stays."""
    from pathlib import Path

    from pilotage.model.errors import InvalidInput

    if (number is None) == (not error_class):
        raise InvalidInput("retry", "give a number, or --class for all of that class")
    if number is not None:
        try:
            mended = Path(body).read_bytes() if body else None
        except OSError as error:
            raise InvalidInput("--body", f"{body} can not be read: {error.strerror or error}") from None
        accepted = visit(config, database, lambda s: s.retry_letter(number, mended))
        typer.echo(f"{accepted.task_id}  {accepted.status}")
        return
    letters = visit(config, database, lambda s: s.dead_letters(error_class=error_class, state="kept", limit=100_000))
    failed = 0
    for each in reversed(letters):
        try:
            one = int(each["id"])
            accepted = visit(config, database, lambda s, one=one: s.retry_letter(one, None))  # type: ignore[misc]
            typer.echo(f"{accepted.task_id}  {accepted.status}")
        except InvalidInput as error:
            failed += 1
            typer.echo(f"{each['id']}: {error}", err=True)
    if failed:
        raise typer.Exit(1)

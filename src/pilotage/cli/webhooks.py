"""``pilotage webhooks``: messages to receivers, their attempts, and sending one again."""

from typing import Annotated

import typer

from pilotage.cli.desk import visit
from pilotage.cli.options import Config

app = typer.Typer(help="Look at webhook messages and send them again.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `webhooks list` shows it.")]
Database = Annotated[str | None, typer.Option(metavar="URL", help="Database [POSTGRES_CONN].")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help="pending, delivered or dead.")] = "",
    task_id: Annotated[str, typer.Option(help="Only of this task.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    as_json: Json = False,
    database: Database = None,
    config: Config = None,
) -> None:
    """Show messages, newest first."""
    import msgspec

    found = visit(config, database, lambda s: s.webhooks(state=state, task_id=task_id, limit=limit))
    for each in found:
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        else:
            why = f"  {each['error']}" if each["error"] else ""
            typer.echo(
                f"{each['id']:>6}  {each['state']:<9}  {each['attempts']:>2} attempts  {each['receiver']}  "
                f"{each['task_id']}  {each['event_id']}{why}"
            )
    if not found and not as_json:
        typer.echo("No messages.")


@app.command()
def show(number: Number, as_json: Json = False, database: Database = None, config: Config = None) -> None:
    """Show every attempt to deliver one message."""
    from datetime import UTC, datetime

    import msgspec

    for each in visit(config, database, lambda s: s.deliveries(number)):
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        else:
            at = datetime.fromtimestamp(each["at"], UTC).isoformat(timespec="milliseconds")
            typer.echo(f"{at}  {each['status'] or '-'}  {each['took_ms']:,.0f} ms  {each['error'] or 'delivered'}")


@app.command()
def redeliver(number: Number, database: Database = None, config: Config = None) -> None:
    """Send a message once more, whatever became of it; a running worker does it, under the same event id."""
    visit(config, database, lambda s: s.redeliver(number))
    typer.echo(f"{number}  pending")

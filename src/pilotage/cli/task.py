"""``pilotage task``: submit tasks to a service and follow them."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pilotage.client import Client

EPILOG = """
[bold]Examples[/]

[cyan]pilotage task submit llama --input '{"prompt": "hello"}' --wait[/]
[cyan]pilotage task submit llama --input @task.json --priority 5 --key order-17[/]
[cyan]pilotage task list --status failed[/]
[cyan]pilotage task query 0199... --explain[/]
[cyan]pilotage task watch[/]
"""

app = typer.Typer(help="Submit tasks to a service and follow them.", no_args_is_help=True, epilog=EPILOG)

Url = Annotated[str, typer.Option("--url", envvar="PILOTAGE_URL", help="Where the service is.", show_envvar=True)]
Token = Annotated[str, typer.Option("--token", envvar="PILOTAGE_TOKEN", help="Token to show.", show_envvar=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

HERE = "http://127.0.0.1:8102"

_STYLES = {"completed": "green", "failed": "red", "expired": "red", "cancelled": "dim", "running": "cyan"}


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="The model that is to run it.")],
    input: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="Its input, an object.")] = "{}",
    metadata: Annotated[str, typer.Option(metavar="JSON|@FILE", help="What is known of it: features.")] = "{}",
    priority: Annotated[int, typer.Option(help="Higher goes first, where the strategy orders.")] = 0,
    deadline_s: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", help="Drop it unless it was started by then.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose it is.")] = "",
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key makes no second task.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for it to end and print its result.")] = False,
    url: Url = HERE,
    token: Token = "",
) -> None:
    """Submit a task; print its id, or with --wait its result (exit code 1 if it failed)."""
    content, known = _object("input", input), _object("metadata", metadata)
    with _client(url, token) as client:
        task = _asked(
            lambda: client.submit(
                model,
                content,
                metadata=known,
                priority=priority,
                deadline_s=deadline_s,
                tenant=tenant,
                idempotency_key=key,
            )
        )
        if not wait:
            typer.echo(task["id"])
            return
        ended = _asked(lambda: client.wait(task["id"]))
    if ended["status"] != "completed":
        typer.echo(f"{ended['id']} is {ended['status']}: {ended['error']}", err=True)
        raise typer.Exit(1)
    _print_json(ended["result"])


@app.command()
def query(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task.")],
    explain: Annotated[bool, typer.Option("--explain", help="Say why it is where it is.")] = False,
    url: Url = HERE,
    token: Token = "",
) -> None:
    """Print all that is known of a task, as JSON."""
    with _client(url, token) as client:
        _print_json(_asked(lambda: client.explain(task_id) if explain else client.task(task_id)))


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="queued, scheduled, running, completed, failed, ...")] = None,
    model: Annotated[str | None, typer.Option(help="Of this model.")] = None,
    instance: Annotated[str | None, typer.Option(help="On this instance (its id).")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
    url: Url = HERE,
    token: Token = "",
) -> None:
    """List tasks, newest first."""
    from itertools import islice

    with _client(url, token) as client:
        found = client.tasks(status=status, model=model, instance=instance, tenant=tenant)
        tasks = _asked(lambda: list(islice(found, limit)))
    if as_json:
        _print_json(tasks)
        return

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "model", "status", "took ms", "reason"):
        table.add_column(title, overflow="fold", no_wrap=title == "id")
    for task in tasks:
        took = "" if task["finished"] is None else f"{(task['finished'] - task['submitted']) * 1000:,.0f}"
        shade = _STYLES.get(task["status"], "")
        shown = f"[{shade}]{task['status']}[/]" if shade else task["status"]
        table.add_row(task["id"], task["model"], shown, took, task["error"][:80])
    Console().print(table)


@app.command()
def cancel(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task.")], url: Url = HERE, token: Token = ""
) -> None:
    """Cancel a task that has not ended."""
    with _client(url, token) as client:
        typer.echo(f"{_asked(lambda: client.cancel(task_id))['id']} is cancelled")


@app.command()
def watch(as_json: AsJson = False, url: Url = HERE, token: Token = "") -> None:
    """Print every change as it happens, until Ctrl-C."""
    with _client(url, token) as client:
        stream = client.events()
        while True:
            event = _asked(lambda: next(stream, None))
            if event is None:
                return
            if as_json:
                _print_json(event)
            elif event["kind"] == "task":
                told = event["data"]
                typer.echo(f"{told['id']}  {told['status']:<10} {told['model']}  {told['instance']}")


def _client(url: str, token: str) -> "Client":
    from pilotage.client import Client
    from pilotage.model.errors import InvalidInput

    if not url.startswith(("http://", "https://")):
        raise InvalidInput("url", f"{url!r:.80} is no http:// or https:// URL")
    return Client(url, token=token, patience_s=2.0)


def _asked(question: Any) -> Any:
    """The answer; what the service refuses is bad input, told in one line."""
    from pilotage.client import ApiError
    from pilotage.model.errors import InvalidInput

    try:
        return question()
    except ApiError as error:
        raise InvalidInput("service", str(error)) from None


def _object(name: str, text: str) -> dict[str, Any]:
    import json
    from pathlib import Path

    from pilotage.model.errors import InvalidInput

    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInput(name, f"is no JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(name, 'must be an object, as in \'{"prompt": "hello"}\'')
    return found


def _print_json(told: Any) -> None:
    import json

    typer.echo(json.dumps(told, indent=2))

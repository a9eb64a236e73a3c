"""``pilotage kubernetes``: decide on the pods of a cluster as kube-scheduler would, or as a policy of your own."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.adapters.kubernetes.judgement import Judgement
    from pilotage.app.dry_run import DryRun

EPILOG = """
[bold]Examples[/]

[cyan]pilotage kubernetes --dry-run --context staging[/]
Where would every waiting pod of this cluster go, and why does one find no node?

[cyan]kubectl get -A -o json nodes,pods,priorityclasses,namespaces,services,replicasets,statefulsets > cluster.json[/]
[cyan]pilotage kubernetes --dry-run cluster.json[/]
The same of a dump, today or next year.

[cyan]pilotage kubernetes --dry-run cluster.json --explain default/web-7d4[/]
Every node for one pod: the filter that refuses it, or each scorer's points.

[cyan]pilotage kubernetes --dry-run cluster.json --config scheduler.yaml[/]
With the KubeSchedulerConfiguration of your cluster.

[cyan]pilotage kubernetes --dry-run cluster.json --policy mine.py[/]
The same pods under a policy of your own.
"""

_COLOURS = {"placed": "green", "unschedulable": "red", "invalid": "red"}


def kubernetes(
    objects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Objects of a cluster, JSON or YAML; - is standard input. Without: the cluster itself is read.",
        ),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Decide, and carry nothing out.")] = False,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).")
    ] = None,
    release: Annotated[
        str, typer.Option(metavar="1.33|1.34|1.35|1.36", help="Decide as this release does, where releases differ.")
    ] = "1.35",
    kubeconfig: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="How to reach the cluster, instead of $KUBECONFIG or ~/.kube/config."),
    ] = None,
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="The context of the kubeconfig, instead of its current one.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME|FILE[:OBJECT]", help="Decide by this policy instead of the profile's.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="NAMESPACE/NAME", help="Show what every node is to this pod.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON, and nothing else.")] = False,
) -> None:
    """Say where the waiting pods of a cluster would go, decided as kube-scheduler decides.

    The same engine and the same arithmetic as in production. Without files the objects are listed from the cluster of
    your kubeconfig; nothing is changed in it. Pods are taken by priority, then age.
    """
    import msgspec

    from pilotage.adapters.kubernetes.configuration import Configuration, of_release, read_configuration
    from pilotage.adapters.kubernetes.files import read_documents, read_objects
    from pilotage.app.dry_run import dry_run, read_live
    from pilotage.app.policy_files import load_policy
    from pilotage.model.errors import InvalidInput

    if not dry:
        raise InvalidInput("--dry-run", "must be given: this release decides, and carries nothing out")
    if objects and (kubeconfig or context):
        raise InvalidInput("--kubeconfig" if kubeconfig else "--context", "means a cluster, but files are given too")
    configuration = Configuration()
    if config is not None:
        documents = read_documents(config)
        if len(documents) != 1:
            raise InvalidInput(config, f"must hold one configuration, got {len(documents)} documents")
        try:
            configuration = read_configuration(documents[0])
        except InvalidInput as error:
            raise InvalidInput(f"{config}: {error.field}", error.reason) from error
    configuration = of_release(configuration, release)
    chosen = None if policy is None else load_policy(policy)
    found = read_objects(objects) if objects else read_live(kubeconfig, context)
    run = dry_run(found, configuration, policy=chosen, explain=explain)
    if as_json:
        typer.echo(msgspec.json.encode(run).decode())
    else:
        _print(run, explain)


def _print(run: "DryRun", explain: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pilotage.app.dry_run import told

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400  # cut off nothing where no window sets a width
    if run.explained is not None:
        _print_judgement(console, run.explained, explain or "")
    elif run.outcomes:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in ("pod", "", "node, or why not"):
            table.add_column(heading, overflow="fold")
        table.add_column("score", justify="right")
        table.add_column("of nodes", justify="right")
        for outcome in run.outcomes:
            colour = _COLOURS.get(outcome.verdict, "yellow")
            table.add_row(
                escape(outcome.pod),
                f"[{colour}]{outcome.verdict}[/]",
                escape(outcome.node or outcome.message),
                "" if outcome.score is None else f"{outcome.score:g}",
                f"{outcome.feasible:,}" if outcome.node else "",
            )
        console.print(table)
    for note in run.notes:
        console.print(f"[yellow]![/] {escape(note)}", soft_wrap=True)
    console.print(f"{run.nodes:,} nodes, {run.running:,} pods on them; waiting: {told(run.outcomes)}", markup=False)


def _print_judgement(console: "Console", judgement: "Judgement", pod: str) -> None:
    """One line per node, the best first: its total and the parts of it, or who refuses it and why."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    columns: list[Any] = list(judgement.scores)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("node", overflow="fold")
    table.add_column("total", justify="right")
    for scores in columns:
        table.add_column(f"{scores.plugin}\nx {scores.weight}", justify="right")
    table.add_column("refused by", overflow="fold")
    table.add_column("because", overflow="fold")
    for node in sorted(judgement.totals, key=lambda name: -judgement.totals[name]):
        parts = [f"{scores.normalised[node]:g}" for scores in columns]
        table.add_row(escape(node), f"[bold]{judgement.totals[node]:g}[/]", *parts, "", "")
    for node, refusal in judgement.refused.items():
        because = escape(", ".join(refusal.reasons))
        table.add_row(escape(node), "[red]no[/]", *("" for _ in columns), refusal.plugin, because)
    console.print(
        f"{pod}: {len(judgement.totals):,} of {len(judgement.totals) + len(judgement.refused):,} nodes will do"
    )
    console.print(table)

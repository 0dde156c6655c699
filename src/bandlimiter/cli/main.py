"""The command's entry: each sub-command in a file of its own."""

import typer

from bandlimiter.cli.certify import certify
from bandlimiter.cli.demo import demo
from bandlimiter.cli.error_handling import CommandGroup
from bandlimiter.cli.evaluate import evaluate
from bandlimiter.cli.harden import harden, recalibrate
from bandlimiter.cli.predict import predict
from bandlimiter.cli.regions import regions
from bandlimiter.cli.report import report
from bandlimiter.cli.reproduce.command import reproduce
from bandlimiter.cli.runs import runs
from bandlimiter.cli.spectrum import spectrum
from bandlimiter.cli.trace.command import trace
from bandlimiter.cli.tune import tune

app = typer.Typer(
    name="bandlimiter",
    cls=CommandGroup,
    help="Post-average a trained classifier, attack it, and see what the average buys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(certify)
app.command()(demo)
app.command()(evaluate)
app.command()(harden)
app.command()(predict)
app.command()(recalibrate)
app.command()(regions)
app.command()(report)
app.command()(reproduce)
app.add_typer(runs, name="runs")
app.command()(spectrum)
app.command()(trace)
app.command()(tune)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("bandlimiter"))
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and end."
    ),
) -> None:
    """Post-average a trained classifier, attack it, and see what the average buys.

    Start with [bold]bandlimiter demo[/bold]: a packaged model and images, no downloads.
    """

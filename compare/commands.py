"""The commands. Nothing here loads torch before a command needs it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from compare.last_word import last_word
from compare.out import check_directory, named, results_in
from compare.ranks import is_follower, rank
from compare.reporting import report_on

app = typer.Typer(
    name="isospike",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Convert a trained ANN to a spiking network, or train the spiking network directly? "
    "Compare both.",
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="directory of the data sets", metavar="DIR", parser=named),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="where results go", metavar="DIR", parser=named)
]

ENDED = "ended before it could say why, for want of memory perhaps"


def command_line() -> str:
    """This command as it would be typed; bytes that are no text are written as escapes."""
    typed = shlex.join(["isospike", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode("utf-8")


@app.command()
def compare(
    study: Annotated[str, typer.Argument(help="built-in study or TOML file")] = "first-look",
    dataset: Annotated[str | None, typer.Option(help="data set, or folder:PATH, npz:PATH")] = None,
    architecture: Annotated[str | None, typer.Option(help="see `isospike list`")] = None,
    methods: Annotated[str | None, typer.Option(help="M,M: conversions and rules")] = None,
    seeds: Annotated[int | None, typer.Option(help="number of seeds", min=1)] = None,
    timesteps: Annotated[int | None, typer.Option(help="largest T of the sweep", min=1)] = None,
    data: DataOption = None,
    out: OutOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16; int24, int16, int8 for sweeps")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="cases at once", min=1)] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Ray cluster: auto or HOST:PORT", metavar="ADDRESS")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="threads of each case", min=1)] = None,
) -> None:
    """Run a study: train, convert, train directly, sweep timesteps, report."""
    from compare.changes import changed, derived_name
    from compare.study import load_study

    chosen = load_study(study)
    changes: dict[str, Any] = {
        "datasets": [dataset] if dataset is not None else None,
        "architectures": [architecture] if architecture is not None else None,
        "methods": [m.strip() for m in methods.split(",")] if methods is not None else None,
        "seeds": seeds,
        "timesteps": timesteps,
        "precision": precision,
        "threads": threads,
    }
    if precision is not None:  # it holds for the sweeps too, whatever their own was
        changes["sweep_precision"] = "auto"
    given = {key: value for key, value in changes.items() if value is not None}
    if {"datasets", "architectures", "methods"} & set(given):
        given["name"] = derived_name(chosen, given)
        given["title"] = given["description"] = ""
        given["expected_minutes"] = given["expected_minutes_h100"] = None
    chosen = changed(chosen, given)
    from compare.data.places import absent, locate
    from compare.machine import choose_device

    for name in chosen.every("datasets"):
        where = locate(name, data)
        if not where.found and (data is not None or ":" in name):
            raise absent(where)
    check_directory(out)
    choose_device(device)
    from compare.workers.case import Settings

    settings = Settings(data, data is None, device, jobs, command_line(), cluster)
    with last_word(f"{ENDED}; finished cases are kept: the same command goes on: {command_line()}"):
        _compare(chosen, out or Path("runs") / chosen.name, settings)


def _compare(study: Any, directory: Path, settings: Any) -> None:
    if is_follower():
        from compare.workers.together import follow

        try:
            follow(settings.device)
        except Exception as error:  # whatever it is: one line that names the process
            raise SystemExit(f"isospike: process {rank()}: {error}") from error
        return
    from rich.console import Console

    from reports.home import home_of, refuse_others

    refuse_others(home_of([directory]))  # before anything is trained
    console = Console(stderr=True)
    from compare.execute import run_study

    plan, failures = run_study(study, directory, settings, console)
    if failures:  # said first: whatever becomes of the report, the reasons are there
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        line = f"isospike: {len(failures)} of {len(plan.names)} cases failed: {reasons}"
        typer.echo(" ".join(line.split()), err=True)
    if len(failures) < len(plan.names):
        try:
            report_on([directory], None)
        except OSError as error:
            raise ValueError(
                f"{directory}: the report cannot be written: {error.strerror or error}; all cases "
                f"are kept: once this is mended, isospike report {directory} makes it"
            ) from error
    if failures:
        raise typer.Exit(2)  # as every bad input


@app.command()
def studies() -> None:
    """Built-in studies: what each shows, the data it needs, its source, the time it takes."""
    from compare import study as known
    from compare.studies_page import expected
    from compare.terminal import show_rows

    rows = []
    for name in known.builtin_studies():
        study = known.load_study(name)
        times = f"{expected(study.expected_minutes)} · {expected(study.expected_minutes_h100)}"
        data = ", ".join(study.every("datasets"))
        rows.append((name, study.title, data, study.source or "–", times))
    show_rows(("study", "what it shows", "data", "source", "time on 2 cores · H100"), rows)


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="what to list; without it, what there is")
    ] = None,
) -> None:
    """Names of datasets, architectures, conversions, rules, presets, surrogates, neurons,
    metrics, energies or figures, one line each; with the name of a method, its options."""
    from compare import catalogue
    from compare.terminal import show_rows

    if kind is None:
        show_rows(("kind", "names"), list(catalogue.kinds().items()))
    elif catalogue.has_options(kind):
        rows = catalogue.lines(kind) or [("none", f"{kind} has no options")]
        show_rows(("option and default", "what it is"), rows)
    else:
        show_rows((kind, "what it is"), list(catalogue.entries(kind).items()))


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="data set; all of them by default")] = None,
    directory: DataOption = None,
) -> None:
    """Where each data set is looked for, and whether it is there."""
    from compare.data import DATASETS, locate
    from compare.terminal import show_rows

    rows = []
    for entry in [name] if name else DATASETS.names():
        if entry.endswith(":PATH"):
            rows.append((entry, "yours", "", DATASETS.get(entry).description))
            continue
        where = locate(entry, directory)
        rows.append((entry, "there" if where.found else "absent", str(where.path), where.how))
    show_rows(("data set", "state", "directory", "to get it"), rows)


@app.command()
def report(
    directories: Annotated[
        list[Path], typer.Argument(help="study directories", metavar="DIR", parser=named)
    ],
    out: OutOption = None,
) -> None:
    """Rebuild the report of one study, or one report over several."""
    check_directory(out)
    places = [directory.resolve() for directory in directories]
    twice = [
        str(d) for d, place in zip(directories, places, strict=True) if places.count(place) > 1
    ]
    if twice:
        raise ValueError(f"a report takes every study once, got {twice[0]} more than once")
    with results_in(out):
        report_on(directories, out)


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="study directory", metavar="DIR", parser=named)],
) -> None:
    """How far a study is: finished cases, what runs now, time left."""
    from compare import status as state

    for line in state.lines(state.status(directory)):
        typer.echo(line)
    typer.echo(str(directory))


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="architecture, module:function or file.py:function")],
    dataset: Annotated[str, typer.Option(help="data set for calibration and test")],
    method: Annotated[str, typer.Option(help="conversion method")] = "spike-norm",
    weights: Annotated[
        Path | None, typer.Option(help="safetensors or state_dict", metavar="FILE")
    ] = None,
    timesteps: Annotated[int, typer.Option(help="largest T of the sweep", min=1, max=100_000)] = 64,
    option: Annotated[
        list[str] | None, typer.Option(help="option of the method", metavar="NAME=VALUE")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="constant, poisson, poisson-signed; that of the weights' ANN")
    ] = None,
    reset: Annotated[str, typer.Option(help="of the neurons: soft or hard")] = "soft",
    seed: Annotated[int, typer.Option(help="of what is drawn", min=0, max=2**31 - 1)] = 0,
    calibration_images: Annotated[
        int | None, typer.Option(help="the method's number by default", min=1)
    ] = None,
    data: DataOption = None,
    out: OutOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Convert a trained network, sweep its timesteps, and write network, audit and export."""
    from compare import catalogue
    from compare.changes import plain_name

    catalogue.check("datasets", dataset)
    catalogue.check("conversions", method)
    catalogue.check("architectures", model)
    from compare.convert_command import Request, convert_model, parse_options, summary_lines
    from compare.terms import Terms

    check_directory(out)
    place, _, function = model.rpartition(":")
    words = "-".join(filter(None, ["convert", Path(place).stem, function, dataset, method]))
    directory = out or Path("runs") / plain_name(words)
    terms, chosen = Terms(encoding, reset, seed, calibration_images), parse_options(option or [])
    request = Request(
        model, dataset, method, directory, weights, timesteps, chosen, terms, data, device
    )
    ended = f"{ENDED}; the same command begins anew: {command_line()}"
    with last_word(ended), results_in(out):
        written = convert_model(request)
    for line in summary_lines(written):
        typer.echo(line)
    typer.echo(str(written))


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if show:
        from importlib.metadata import version as installed

        typer.echo(f"isospike {installed('isospike')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())

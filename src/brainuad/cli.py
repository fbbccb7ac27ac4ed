"""The `brainuad` command. Modules that take long to import are imported by the command that needs them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

from brainuad import logs, terminal
from brainuad.config.near_files import check_results
from brainuad.errors import BrainuadError, InputError
from brainuad.predict.options import Request, check_options, takes

if TYPE_CHECKING:
    from brainuad.track.experiment import Destination

STUDY, DATA, CLUSTER, DOCS = "Studies", "Data and models", "Cluster", "Documentation"
BROKEN_PIPE = 128 + signal.SIGPIPE


class Commands(TyperGroup):
    """The commands, and how a failure ends: with its message and its exit code, without a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command. Raises typer.Exit with the exit code."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()  # here, so that a closed pipe is noticed
        except BrainuadError as error:
            sys.stderr.write(f"{error}\n")
            raise typer.Exit(1) from None
        except BrokenPipeError:  # as in `brainuad show results/x | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            raise typer.Exit(BROKEN_PIPE) from None
        except OSError as error:
            if error.errno not in logs.OF_THE_DISK:
                raise
            sys.stderr.write(f"{logs.of_the_disk(error)}\n")
            raise typer.Exit(1) from None
        raise typer.Exit(status if isinstance(status, int) else 0)


app = typer.Typer(
    name="brainuad",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success, 1 a problem that the message explains, 2 wrong usage. "
    "Environment: BRAINUAD_LOG sets the level of messages (DEBUG, INFO, WARNING, ERROR).",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 1 after a message about a problem, 2 after wrong usage."""
    try:
        app(arguments, prog_name="brainuad")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _example(*lines: str) -> str:
    return "\n\n".join(["[bold]Examples[/bold]" if len(lines) > 1 else "[bold]Example[/bold]", *lines])


def _version(wanted: bool) -> None:
    if wanted:
        from brainuad import __version__

        terminal.show(f"brainuad {__version__}")
        raise typer.Exit


def _results(incomplete: str) -> list[str]:
    """Results folders of studies, for completion in a shell."""
    return [path for path in map(str, Path("results").glob("*")) if path.startswith(incomplete)]


def _rules(incomplete: str) -> list[str]:
    from brainuad.jobs.registry import STAGE_OF

    return [name for name in STAGE_OF if name.startswith(incomplete)]


def _dataset_names(incomplete: str) -> list[str]:
    from brainuad.download.catalogue import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def _known_dataset(name: str | None) -> str | None:
    from brainuad.download.catalogue import NAMES

    if name is not None and name not in NAMES:
        raise typer.BadParameter(f"{name} is not one of {', '.join(NAMES)}")
    return name


def _with_results(folder: Path) -> Path:
    check_results(folder)
    return folder


FOLDER_HELP = "Results folder of the study: results/<study>."
ResultsFolder = Annotated[Path, typer.Argument(help=FOLDER_HELP, autocompletion=_results, callback=_with_results)]


@app.callback()
def _options(
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="More messages: -v for INFO, -vv for DEBUG.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Unsupervised lesion detection in brain MRI and CT.

    Studies are run by Snakemake: [bold]snakemake --profile profiles/local --configfile STUDY[/bold].
    These commands check a study before it runs, show its results, and describe models and data sets.
    """
    if verbose and quiet:
        raise typer.BadParameter("--verbose and --quiet exclude each other")
    if level := "ERROR" if quiet else ("", "INFO", "DEBUG")[min(verbose, 2)]:
        os.environ[logs.VARIABLE] = level  # jobs and their processes read it too
    logs.configure_terminal()


@app.command(
    rich_help_panel=STUDY,
    epilog=_example(
        "brainuad init data/mine", "brainuad init data/patients data/controls --modality FLAIR -o flair.yaml"
    ),
)
def init(
    folders: Annotated[list[Path], typer.Argument(help="BIDS folders, or folders with NIfTI files in any order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Study file to write.")] = Path("study.yaml"),
    modality: Annotated[
        str | None, typer.Option(help="Of the study: T1w, T1ce, T2w, FLAIR, PDw or ct; else that of most scans.")
    ] = None,
    without_mask: Annotated[
        Literal["healthy", "patients"] | None,
        typer.Option(help="What people without a lesion mask are, where others of their folder have one."),
    ] = None,
) -> None:
    """Look at folders with scans and write a study for them; say what was found and what was guessed."""
    from brainuad.predict.options import MODALITIES

    if modality is not None and modality not in MODALITIES:
        raise typer.BadParameter(f"--modality is {modality}; use one of {', '.join(MODALITIES)}")
    from brainuad.first_study.command import init as write_study
    from brainuad.first_study.divide import Said

    ask = typer.confirm if sys.stdin.isatty() and sys.stderr.isatty() else None
    terminal.show(*write_study(folders, out, modality, Said(without_mask, ask)))


@app.command(
    rich_help_panel=STUDY,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=_example("brainuad run study.yaml", "brainuad run study.yaml -- --dry-run --cores 4"),
)
def run(
    context: typer.Context,
    study: Annotated[Path, typer.Argument(help="Study file.")],
    profile: Annotated[Path, typer.Option(help="Profile of Snakemake.")] = Path("profiles/local"),
) -> None:
    """Run a study: `snakemake --profile PROFILE --configfile STUDY`, with the arguments after `--`."""
    from brainuad.first_study.run import run as run_snakemake

    run_snakemake(study, profile, context.args)


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad check config/studies/real_t1.yaml"))
def check(study: Annotated[Path, typer.Argument(help="Study file.")] = Path("config.yaml")) -> None:
    """Check a study file; count its scans, models and the disk space it needs."""
    from brainuad.config.load import load_study
    from brainuad.plan import Plan
    from brainuad.sharing import refuse_other_content

    plan = Plan(load_study(study))
    refuse_other_content(plan.study)
    plan.refuse_leaks()
    for label, scans in plan.scans.items():
        terminal.show(f"{label}: {len(scans)} scans of {len({scan.subject for scan in scans})} subjects")
        terminal.show(*(f"  {remark}" for remark in plan.remarks(label)))
    parts = plan.study
    counts = {"models": parts.models, "seeds": parts.seeds, "postprocessing": parts.postprocessing}
    listed = ", ".join(f"{name}: {len(values)}" for name, values in counts.items())
    terminal.show(f"{listed}; results in {plan.folder}")
    from brainuad import disk  # late: it imports torch, and a fault of the study is reported before

    terminal.show(*disk.report(plan))


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad show results/demo", "brainuad show results/demo | less"))
def show(folder: ResultsFolder) -> None:
    """Print the comparison table of a study, what is missing and why, and where its files are.

    Of a folder with several studies, such as `results`: what was decided in each.
    """
    from brainuad.formats.files import used
    from brainuad.formats.older_layout import refuse_older_layout
    from brainuad.report.shown import studies, study_results
    from brainuad.units import format_size

    refuse_older_layout(folder)
    if not (folder / "evaluate").exists() and (listed := studies(folder)):
        terminal.show(*listed)
        return
    terminal.show(*study_results(folder))
    scans = [folder.parent / name for name in ("preprocess", "download")]
    shared = format_size(sum(map(used, scans)))
    terminal.show(
        f"report        {folder / 'report' / 'index.html'}",
        f"methods       {folder / 'report'}/methods.md, references.bib and checklist.md",
        f"quality       {folder / 'preprocess'}/<data set>/quality.tsv and contact_sheets",
        f"anomaly maps  {folder / 'infer'}/<model>/seed-<s>/<data set>/sub-*/anat/*_anomalymap.nii.gz",
        f"tables        {folder / 'evaluate'}/*.tsv",
        f"MLflow        {folder.parent / 'mlflow'} (brainuad ui)",
        f"disk          {format_size(used(folder))}, and {shared} for the scans of all studies",
    )


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad compare results/mine results/theirs -o both"))
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of two or more studies.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the joined tables.")] = None,
) -> None:
    """Compare models of several studies, where test scans and definitions of scoring agree; say where they do not."""
    from brainuad.across import compare_studies

    if len(folders) < 2:
        raise typer.BadParameter("name two studies or more")
    for folder in folders:
        check_results(folder)
    terminal.show(*compare_studies(folders, out))


@app.command(
    rich_help_panel=STUDY,
    epilog=_example(
        "brainuad job train model=baur_dae seed=0 --study mine.yaml",
        "brainuad job quality dataset=patients",
        "python -m pdb -m brainuad.cli job scaling --study mine.yaml",
    ),
)
def job(
    rule: Annotated[str, typer.Argument(help="Rule of the workflow, such as train.", autocompletion=_rules)],
    wildcards: Annotated[
        list[str] | None, typer.Argument(help="Its wildcards: model=baur_dae seed=0.", metavar="[NAME=VALUE]...")
    ] = None,
    study: Annotated[Path, typer.Option(help="Study file.")] = Path("config.yaml"),
) -> None:
    """Run one job of a study in this process, as Snakemake would run it; its inputs must be there."""
    from brainuad.config.load import load_study
    from brainuad.jobs.run import run_alone
    from brainuad.plan import Plan
    from brainuad.sharing import claim

    plan = Plan(load_study(study))
    named = plan.wildcards(rule, wildcards or [])
    claim(plan.study, study)
    log = plan.folder / "logs" / "alone" / ("_".join([rule, *named.values()]) + ".log")
    made = plan.job(rule, **named)
    run_alone(made, log)
    terminal.show(*(f"wrote {path}" for path in made.outputs.all()), f"log   {log}")


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad report results/mine"))
def report(
    folder: ResultsFolder,
    study: Annotated[Path | None, typer.Option(help="Study file; by default that of the last run.")] = None,
) -> None:
    """Make tables and report of what finished, also while the study runs; say what is missing.

    The next run of the study makes both again.
    """
    from brainuad.clean import study_file
    from brainuad.config.load import load_study
    from brainuad.plan import Plan
    from brainuad.so_far import report_so_far

    file = study or study_file(folder)
    report_so_far(Plan(load_study(file)), folder, file)


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad multiverse results/real_t1"))
def multiverse(
    folder: ResultsFolder,
    study: Annotated[Path | None, typer.Option(help="Study file; by default that of the last run.")] = None,
) -> None:
    """Score the anomaly maps of a study under many choices of scoring, without training; show how stable ranks are."""
    from brainuad.clean import study_file
    from brainuad.multiverse.command import multiverse as score_anew

    terminal.show(*score_anew(study or study_file(folder), folder))


@app.command(
    rich_help_panel=STUDY,
    epilog=_example("brainuad clean results/mine", "brainuad clean results/mine --study mine.yaml --scans --yes"),
)
def clean(
    folder: ResultsFolder,
    study: Annotated[Path | None, typer.Option(help="Study file; by default that of the last run.")] = None,
    scans: Annotated[
        bool, typer.Option("--scans", help="Also preprocessed scans that no study of the results folder uses.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> None:
    """List, then remove, results of models, seeds, data sets and postprocessing that the study file no longer names."""
    from brainuad.clean import clean as clean_up
    from brainuad.clean import study_file
    from brainuad.config.load import load_study
    from brainuad.layout import Layout

    terminal.show(*clean_up(Layout(load_study(study or study_file(folder))), folder, with_scans=scans, yes=yes))


@app.command(
    rich_help_panel=STUDY,
    epilog=_example(
        "brainuad native results/x/infer/dae/seed-0/ms/sub-p01/anat/*_anomalymap.nii.gz "
        "--scan results/preprocess/mri_2mm/ms/sub-p01 --like data/ms/p01_T1w.nii.gz --out p01_native"
    ),
)
def native(
    files: Annotated[list[Path], typer.Argument(help="Anomaly maps or masks of one scan.")],
    scan: Annotated[Path, typer.Option(help="Its folder: results/preprocess/<recipe>/<data set>/<scan>.")],
    like: Annotated[Path, typer.Option(help="The original file of the scan, as it was preprocessed.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; file names lose their space-<label>.")],
) -> None:
    """Resample anomaly maps or masks to the grid of the original scan."""
    from brainuad.formats.names import native_name
    from brainuad.postprocess.native import to_own_grid

    for path in files:
        target = out / native_name(path.name)
        if target.resolve() == path.resolve():
            raise InputError(f"{path.name} would be overwritten", file=path, do="name another folder with --out")
        to_own_grid(path, scan, like, target)
        terminal.show(f"wrote {target}")


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad ui --port 5001"))
def ui(
    results: Annotated[Path, typer.Option(help="Folder with the results of all studies.")] = Path("results"),
    port: Annotated[int, typer.Option(help="Port of the local server.")] = 5000,
) -> None:
    """Serve MLflow with the runs of all studies until ctrl-c; trainings that run are shown while they run."""
    from brainuad.track.follower import Follower, studies
    from brainuad.track.ui import serve

    follower = Follower(_mlflow_of)
    for folder in studies(results):  # before the links are printed; it makes a database that is not there yet
        follower.look(folder)
    serve(results / "mlflow", port, follow=lambda stop: follower.follow(lambda: studies(results), stop))


@app.command(rich_help_panel=STUDY, epilog=_example("brainuad follow results/mine"))
def follow(folder: Annotated[Path, typer.Argument(help=FOLDER_HELP, autocompletion=_results)]) -> None:
    """Show the trainings of a study in MLflow while they run, until ctrl-c; for a server that `track.uri` names.

    For the runs in this folder `brainuad ui` does the same.
    """
    from contextlib import suppress
    from threading import Event

    from brainuad.track.follower import Follower

    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, do="name that of a study: results/<study>")
    to = _mlflow_of(folder)
    terminal.show(f"follows {folder} into {to.shown}; ctrl-c ends it, and nothing is lost")
    with suppress(KeyboardInterrupt):
        Follower(lambda _: to).follow(lambda: [folder], Event())


def _mlflow_of(folder: Path) -> Destination:
    """Where the runs of a study go, by the file that it was last run with; beside its results if that is not known."""
    from brainuad.clean import study_file
    from brainuad.config.load import load_study
    from brainuad.track.experiment import Destination

    try:
        uri = load_study(study_file(folder)).track.uri
    except BrainuadError:
        uri = None
    return Destination(folder.parent / "mlflow", uri)


@app.command(rich_help_panel=DATA, epilog=_example("brainuad models", "brainuad models | grep vqvae"))
def models() -> None:
    """List the models in config/models: family, input, parameters, and the results that their papers report."""
    from brainuad.papers import catalogue

    terminal.show(*catalogue.models_table(catalogue.shipped_models()))


@app.command(rich_help_panel=DATA, epilog=_example("brainuad datasets", "brainuad datasets mslub"))
def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A data set: print its licence, how to get it, and its folder layout.",
            autocompletion=_dataset_names,
            callback=_known_dataset,
        ),
    ] = None,
) -> None:
    """List the published data sets that a study can name, or describe one."""
    from brainuad.download import catalogue

    terminal.show(*([catalogue.description(name)] if name else catalogue.datasets_table()))


@app.command(
    rich_help_panel=DATA,
    epilog=_example("brainuad lesions results/mine/normalize/ixi --model synseg --out lesions.png"),
)
def lesions(
    array_cache: Annotated[Path, typer.Argument(help="Healthy scans: results/<study>/normalize/<data set>.")],
    model: Annotated[str, typer.Option(help="A model of config/models, or a model file.")] = "synseg",
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("lesions.png"),
    seed: Annotated[int, typer.Option(help="Another seed draws other lesions.")] = 0,
) -> None:
    """Draw a sheet of the synthetic lesions that a model learns from."""
    from brainuad.config.synthetic import SyntheticLesions
    from brainuad.figures.lesion_sheet import example_tiles, lesion_sheet
    from brainuad.formats import array_cache as caches
    from brainuad.papers.catalogue import model_of

    settings = getattr(model_of(model), "lesions", None)
    if not isinstance(settings, SyntheticLesions):
        raise InputError(f"{model} draws no lesions", do="name a model such as synseg")
    if not array_cache.is_dir():
        raise InputError(f"there is no folder {array_cache}", do="name results/<study>/normalize/<data set>")
    scans = caches.read(array_cache).select("train")
    if not scans.scans:
        raise InputError("there is no training scan", file=array_cache, do="name a healthy data set of the study")
    spacing = sum(scans.spacing) / 3
    tiles = example_tiles(list(scans.images), list(scans.brains), spacing, settings, seed)
    lesion_sheet(f"synthetic lesions of {model}: before, after, label", tiles).save(out)
    terminal.show(f"wrote {out}")


@app.command(
    rich_help_panel=DATA,
    epilog=_example(
        "brainuad export results/demo baur_dae_small -o dae.brainuad",
        "brainuad export results/mine flagship --seed best-of-validation --licence LICENSE.txt -o mine.brainuad",
    ),
)
def export(
    folder: ResultsFolder,
    model: Annotated[str, typer.Argument(help="Label of the model in the study.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write, such as mine.brainuad.")],
    seed: Annotated[
        str | None,
        typer.Option(
            help="A seed of the study; best-of-validation: that of the lowest loss; ensemble: the mean of the maps of "
            "all. Else the first."
        ),
    ] = None,
    postprocessing: Annotated[str | None, typer.Option(help="Its label in the study; else the first.")] = None,
    licence: Annotated[Path | None, typer.Option(help="Text file under which the model may be used.")] = None,
    study: Annotated[Path | None, typer.Option(help="Study file; by default that of the last run.")] = None,
) -> None:
    """Write a trained model of a finished study to one file, with all that it needs to map a new scan."""
    from brainuad.clean import study_file
    from brainuad.predict.export import Wanted
    from brainuad.predict.export import export as write_model_file

    wanted = Wanted(model, seed, postprocessing, licence)
    terminal.show(*write_model_file(study or study_file(folder), folder, wanted, out))


@app.command(
    rich_help_panel=DATA,
    epilog=_example(
        "brainuad register mine.brainuad --results results",
        "brainuad register results/demo",
        "brainuad predict -i sub-01_T1w.nii.gz -o out -m models:/demo.baur_dae_small/1",
    ),
)
def register(
    what: Annotated[
        Path,
        typer.Argument(help="Model file that `brainuad export` wrote; or results/<study>, for each of its models."),
    ],
    results: Annotated[Path, typer.Option(help="Folder with the results of its study.")] = Path("results"),
) -> None:
    """Register a model file in MLflow, on the run that it is from, or all models of a study; print the addresses."""
    from brainuad.predict import mlflow_models, registration

    if what.is_dir():
        from brainuad.clean import study_file
        from brainuad.config.load import load_study

        for line in registration.register_study(load_study(study_file(what)), what, _mlflow_of(what)):
            terminal.show(line)
        return
    if not what.exists():
        raise InputError(f"there is no {what}", do="name a model file, or the results of a study: results/<study>")
    from brainuad.formats import model_file

    to = _mlflow_of(results / model_file.read(what).manifest.study)
    terminal.show(f"registered as {mlflow_models.register(what, to)} in {to.shown}")


@app.command(
    rich_help_panel=DATA,
    epilog=_example("brainuad verify dae.brainuad", "brainuad verify dae.brainuad --card card.html"),
)
def verify(
    file: Annotated[Path, typer.Argument(help="Model file.")],
    card: Annotated[Path | None, typer.Option(help="Write its model card here, as HTML.")] = None,
) -> None:
    """Check every byte of a model file, and that it gives the same numbers here as where it was exported."""
    from brainuad.predict.verify import verify as check_model_file

    terminal.show(*check_model_file(file, card))


@app.command(
    rich_help_panel=DATA,
    epilog=_example(
        "brainuad predict -i sub-01_T1w.nii.gz -o out -m stroke_t1.brainuad",
        "brainuad predict -i data/patients -o out -m stroke_t1.brainuad --continue",
        "brainuad predict -i data/patients -o out -m stroke_t1.brainuad --num-parts 8 --part-id 0",
    ),
)
@takes(Request)
def predict(request: Request) -> int:
    """Map new scans with a model file: anomaly map, mask, list of findings and a viewer for each scan.

    For research only.
    """
    check_options(request)
    if request.verbose or request.quiet:
        logs.configure_terminal("INFO" if request.verbose else "ERROR")
    from brainuad.predict.command import predict as predict_scans

    return predict_scans(request)


@app.command(rich_help_panel=CLUSTER, epilog=_example("brainuad site", "brainuad site --write"))
def site(
    write: Annotated[
        bool, typer.Option("--write", help="Write the block into the profile; values that you filled in are kept.")
    ] = False,
    profile: Annotated[Path, typer.Option(help="Profile of Snakemake.")] = Path("profiles/slurm/config.yaml"),
) -> None:
    """Ask Slurm for its partitions and accounts; print or write the site block of the profile."""
    from brainuad.cluster import preflight, site_block
    from brainuad.cluster import site as slurm_site
    from brainuad.cluster.slurm_commands import accounting_is_available

    preflight.require_slurm(None)
    values = slurm_site.suggest_site_values(site_block.read_site_block(profile))
    terminal.show(
        *(f"# partition {partition}" for partition in slurm_site.query_partitions()),
        f"# Slurm {'keeps accounting' if accounting_is_available() else 'keeps no accounting'}",
        site_block.format_site_block(values),
    )
    if write:
        changed = site_block.write_site_block(profile, values)
        terminal.show(f"wrote {profile}" if changed else f"{profile} holds this already")
    else:
        terminal.show(f"`brainuad site --write` puts this into {profile}")


@app.command(rich_help_panel=CLUSTER, epilog=_example("brainuad efficiency results/demo"))
def efficiency(folder: ResultsFolder) -> None:
    """Compare the memory, time and cores that jobs used with what they asked for; suggest values for the profile."""
    from brainuad.cluster import efficiency as usage_by_rule
    from brainuad.resources import usage

    rows = usage_by_rule.summarise_rules(usage.read_usage(folder))
    if not rows:
        do = "name the folder of a study that has run"
        raise InputError("no job has recorded what it used", file=folder, do=do)
    usage_by_rule.write_table(folder / usage_by_rule.FILE_NAME, rows)
    terminal.show(usage_by_rule.format_table(rows), "", f"table         {folder / usage_by_rule.FILE_NAME}")


@app.command(
    "compare-paper", rich_help_panel=DOCS, epilog=_example("brainuad compare-paper config/studies/paolini.yaml")
)
def compare_paper(
    studies: Annotated[list[Path], typer.Argument(help="Files of finished studies that name a `paper`.")],
    docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs/results"),
) -> None:
    """Write a page that sets the numbers and claims of a paper beside those of finished studies."""
    from brainuad.papers.catalogue import shipped_models
    from brainuad.papers.finished_study import read_finished_study
    from brainuad.papers.page import write_pages

    shipped = shipped_models()
    for path in write_pages([read_finished_study(file, shipped) for file in studies], docs):
        terminal.show(f"wrote {path}")


@app.command(rich_help_panel=DOCS, epilog=_example("brainuad reference", "brainuad reference --check"))
def reference(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a page is outdated.")] = False,
) -> int:
    """Write the pages in docs/ and the schema that are generated from the code."""
    from brainuad.reference import PAGES

    outdated = [path for path, made in PAGES.items() if not path.exists() or path.read_text(encoding="utf-8") != made()]
    for path in outdated:
        terminal.show(f"{path} is outdated: run `make docs`" if check else f"wrote {path}")
        if not check:
            path.write_text(PAGES[path](), encoding="utf-8")
    return int(check and bool(outdated))


if __name__ == "__main__":
    raise SystemExit(main())

"""The `brainuad` command: check a study, show its table, open MLflow, write the pages made from the code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from brainuad.download.catalogue import NAMES, datasets_text
from brainuad.errors import BrainuadError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 after a message about what was wrong, or that of SIGPIPE."""
    parser = argparse.ArgumentParser(prog="brainuad", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    check = commands.add_parser("check", help="check a study file and count its scans and jobs")
    check.add_argument("study", type=Path, nargs="?", default=Path("config.yaml"))
    check.set_defaults(run=lambda given: _check(given.study))

    show = commands.add_parser("show", help="print a finished study's comparison table and where its files are")
    show.add_argument("folder", type=Path, help="results/<study>")
    show.set_defaults(run=lambda given: _show(given.folder))

    used = commands.add_parser("efficiency", help="print what jobs used of what they asked for, and what to ask for")
    used.add_argument("folder", type=Path, help="results/<study>")
    used.set_defaults(run=lambda given: _efficiency(given.folder))

    native = commands.add_parser("native", help="write maps or masks on a scan's own grid, with its affine")
    native.add_argument("file", type=Path, nargs="+", help="anomaly maps or masks of one scan")
    native.add_argument("--scan", type=Path, required=True, help="results/preprocess/<recipe>/<data set>/<scan>")
    native.add_argument("--like", type=Path, required=True, help="the scan's own file, as it was preprocessed")
    native.add_argument(
        "--out", type=Path, required=True, help="folder to write to; names of files lose their space-<label>"
    )
    native.set_defaults(run=lambda given: _native(given.file, given.scan, given.like, given.out))

    ui = commands.add_parser("ui", help="open MLflow on all studies under a results folder")
    ui.add_argument("--results", type=Path, default=Path("results"))
    ui.add_argument("--port", type=int, default=5000)
    ui.set_defaults(run=lambda given: _ui(given.results, given.port))

    models = commands.add_parser("models", help="print every model file: input, parameters, what its paper reports")
    models.set_defaults(run=lambda _: _models())

    datasets = commands.add_parser("datasets", help="print the data sets known by name, or how one is got and lies")
    datasets.add_argument("name", nargs="?", choices=NAMES, metavar="name")
    datasets.set_defaults(run=lambda given: _datasets(given.name))

    compare = commands.add_parser("compare-paper", help="write a page: a paper's numbers and claims beside a study's")
    compare.add_argument("study", type=Path, nargs="+", help="files of finished studies that name a `paper`")
    compare.add_argument("--docs", type=Path, default=Path("docs/results"), help="folder of the pages")
    compare.set_defaults(run=lambda given: _compare_paper(given.study, given.docs))

    site = commands.add_parser("site", help="ask Slurm what it has, and print or write the site block of the profile")
    site.add_argument("--write", action="store_true", help="write it; lines that you have filled in are kept")
    site.add_argument("--profile", type=Path, default=Path("profiles/slurm/config.yaml"), help="the profile's file")
    site.set_defaults(run=lambda given: _site(given.profile, given.write))

    reference = commands.add_parser("reference", help="write the docs pages and the schema that are made from the code")
    reference.add_argument("--check", action="store_true", help="write nothing; fail if a page is behind the code")
    reference.set_defaults(run=lambda given: _reference(given.check))

    given = parser.parse_args(arguments)
    try:
        status: int = given.run(given) or 0
        sys.stdout.flush()  # here, so that a reader who is gone is noticed
    except BrainuadError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except BrokenPipeError:  # as in `brainuad show results/x | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 128 + signal.SIGPIPE
    return status


def _check(path: Path) -> None:
    from brainuad.config.load import load_study
    from brainuad.plan import Plan

    plan = Plan(load_study(path))
    for label, rows in plan.scans.items():
        _say(f"{label}: {len(rows)} scans of {len({row.subject for row in rows})} subjects")
    study = plan.study
    _say(
        f"{len(study.models)} models, {len(study.seeds)} seeds, {len(study.postprocessing)} chains, results in {plan.folder}"
    )
    from brainuad import disk  # late: it imports torch, and what is wrong with a study is said before

    for line in disk.said(plan):
        _say(line)


def _show(folder: Path) -> None:
    from brainuad.disk import in_words, taken
    from brainuad.formats import tables
    from brainuad.report.table import comparison_text

    _say(comparison_text(tables.read(folder / "evaluate" / "metrics.tsv", tables.METRICS)))
    _say(f"\nreport        {folder / 'report' / 'index.html'}")
    _say(f"quality       {folder / 'preprocess'}/<data set>/quality.tsv and contact.png")
    _say(f"anomaly maps  {folder / 'infer'}/<model>/seed-<s>/<data set>/sub-*/anat/*_anomalymap.nii.gz")
    _say(f"tables        {folder / 'evaluate'}/*.tsv")
    _say(f"MLflow        {folder.parent / 'mlflow'} (make ui)")
    scans = [folder.parent / name for name in ("preprocess", "download")]
    _say(f"disk          {in_words(taken(folder))} there; {in_words(sum(map(taken, scans)))} of scans of all studies")


def _efficiency(folder: Path) -> None:
    from brainuad.cluster import efficiency
    from brainuad.errors import InputError
    from brainuad.resources import usage

    rows = efficiency.by_rule(usage.read_all(folder))
    if not rows:
        raise InputError("no job has noted what it used", file=folder, do="name the folder of a study that has run")
    efficiency.write(folder / efficiency.NAME, rows)
    _say(efficiency.text(rows))
    _say(f"\ntable         {folder / efficiency.NAME}")


def _native(paths: list[Path], scan: Path, like: Path, out: Path) -> None:
    from brainuad.errors import InputError
    from brainuad.formats.names import native_name
    from brainuad.postprocess.native import carry

    for path in paths:
        target = out / native_name(path.name)
        if target.resolve() == path.resolve():
            raise InputError(f"{path.name} would be written over", file=path, do="name another folder with --out")
        carry(path, scan, like, target)
        _say(f"wrote {target}")


def _ui(results: Path, port: int) -> None:
    from brainuad.track.ui import serve

    serve(results / "mlflow", port)


def _models() -> None:
    from brainuad.papers.catalogue import models_text, shipped_models

    _say(models_text(shipped_models()))


def _datasets(name: str | None) -> None:
    _say(datasets_text(name))


def _compare_paper(files: list[Path], docs: Path) -> None:
    from brainuad.papers import finished, page
    from brainuad.papers.catalogue import shipped_models

    models = shipped_models()
    for path in page.write([finished.read(file, models) for file in files], docs):
        _say(f"wrote {path}")


def _site(profile: Path, write: bool) -> None:
    from brainuad.cluster import ask, block, site, start

    start.refuse_silence(None)
    found = site.proposal(block.read(profile))
    _say("\n".join(f"# partition {row}" for row in site.partitions()))
    _say(f"# Slurm {'keeps accounts' if ask.keeps_accounts() else 'keeps no accounts'}")
    _say(block.text(found))
    if write:
        _say(f"wrote {profile}" if block.write(profile, found) else f"{profile} holds this already")
    else:
        _say(f"`brainuad site --write` puts this into {profile}")


def _reference(check: bool) -> int:
    from brainuad.reference import PAGES

    behind = [path for path, made in PAGES.items() if not path.exists() or path.read_text(encoding="utf-8") != made()]
    for path in behind:
        _say(f"{path} is behind the code: run `make docs`" if check else f"wrote {path}")
        if not check:
            path.write_text(PAGES[path](), encoding="utf-8")
    return int(check and bool(behind))


def _say(text: str) -> None:
    print(text)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())

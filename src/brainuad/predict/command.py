"""`brainuad predict`: maps, masks and a viewer for each scan, and a table of all."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brainuad import terminal
from brainuad.errors import BrainuadError, InputError, StorageError
from brainuad.formats import leftovers, status
from brainuad.formats.files import atomic, atomic_folder, unwritable
from brainuad.formats.model_file import Manifest, ModelFile
from brainuad.logs import OF_THE_DISK
from brainuad.predict import inputs, joined, outputs, page, preview, source
from brainuad.predict import record as records
from brainuad.predict.asked import Input, Wanted
from brainuad.predict.describe import findings_of, record_of
from brainuad.predict.earlier import Way, content_of, options_of, to_do
from brainuad.predict.found import Given, Options
from brainuad.predict.model import FIXED, Model, preferred
from brainuad.predict.options import Request
from brainuad.predict.outputs import Kept
from brainuad.predict.picture import picture
from brainuad.predict.record import ModelName, Record
from brainuad.preprocess.review import contact_sheet, overlay
from brainuad.resources.recording import versions

NO_THRESHOLD = "none"
VERDICTS = {"failed": "failed", "doubtful": "warned", "alike": "ok"}
"""States of a prediction as states of a scan, worst first."""
OF_THE_GPU = re.compile(r"CUDA|cuDNN|CUBLAS", re.IGNORECASE)
OF_THE_MEMORY = re.compile(r"not enough memory|can't allocate memory", re.IGNORECASE)
"""In the messages of torch."""
KEPT = "its earlier result is kept"
FAULT_REMEDY = "look at the scan; `-v` shows where the program stopped"
logger = logging.getLogger(__name__)


def predict(request: Request) -> int:
    """Predict all scans of a request; returns the exit code, 1 if a scan failed. Raises as `predict_all`."""
    return int(bool(predict_all(request)))


def predict_all(request: Request) -> list[str]:
    """Predict all scans of a request; returns the labels of those that failed.

    Raises BrainuadError for what stops all scans: the model file, the inputs, the output folder.
    """
    if source.is_in_results(request.model):
        _say(request, f"{request.model} is exported first, each time: `brainuad export` does so once for all calls")
    file = source.read(request.model)
    with leftovers.temporary_folder() as work:
        modality, *further = file.manifest.sequences or [file.manifest.modality]
        _check_said(request, modality, further)
        people, sessions = _separate(request.participant_label), _separate(request.session_label)
        wanted = Wanted(modality, people, sessions, request.modality, further)
        found = inputs.find(request.input, wanted, work)
        for note in found.notes:
            logger.warning("%s", note)
        mine = inputs.part_of(found.scans, request.part_id or 0, request.num_parts)
        if request.mask is not None and len(found.scans) > 1:
            why, do = f"there are {len(found.scans)} scans", "name one scan with -i, or leave out --mask"
            raise InputError("one brain mask fits one scan", file=request.mask, why=why, do=do)
        thresholds = wanted_thresholds(request.threshold, file.manifest)
        way = Way(file.sha256, options_of(request, thresholds))
        todo = to_do(request, found.scans, mine, way)
        if request.dry_run:
            shown = (f" ({joined.shown(item, wanted)})" if further and not item.problem else "" for item in todo)
            said = (f": {item.problem}" if item.problem else "" for item in todo)
            rows = zip(todo, shown, said, strict=True)
            terminal.show(*(f"{item.scan}  {item.image}{sequences}{problem}" for item, sequences, problem in rows))
            ready = sum(not item.problem for item in todo)
            _say(request, f"{ready} of {len(mine)} scans would be mapped by {file.manifest.name}; nothing is written")
            return []
        try:
            failed = _run(request, file, way, todo) if todo else []
            if not todo:
                _say(request, f"nothing to do: all {len(mine)} scans are finished in {request.output}")
            _finish(request, file, failed)
        except StorageError as error:  # of a file in a temporary folder that is gone
            again = "the same command again" if request.goes_on else "it with --continue"
            do = f"free space or correct the permissions of that folder, then run {again}"
            raise StorageError(error.what, file=request.output, why=error.why, do=do) from error
        except KeyboardInterrupt:
            _say(request, f"stopped; scans that are finished stay in {request.output}, and --continue maps the rest")
            raise
    return [each.scan for each in failed]


def _check_said(request: Request, modality: str, further: Sequence[str]) -> None:
    """Raises InputError for a modality that the model does not take, and a brain mask that is no file."""
    if request.modality not in (None, modality) and not further:
        what, why = f"--modality says {request.modality}", f"the model learnt from {modality}"
        do = f"use a model for {request.modality}, or leave out --modality"
        raise InputError(what, file=request.model, why=why, do=do)
    if request.mask is not None and not request.mask.is_file():
        why = "it is a folder" if request.mask.is_dir() else "there is no such file"
        raise InputError(
            "the brain mask cannot be read", file=request.mask, why=why, do="correct the path after --mask"
        )


def summarise(request: Request) -> None:
    """Write table and contact sheets of the results that are there."""
    _finish(request, source.read(request.model), [])


def wanted_thresholds(wanted: str | None, manifest: Manifest) -> list[str]:
    """Labels for `Options.thresholds`; the first one makes the list of findings.

    `wanted`: a label, a short form of it (`healthy:0.98` for `healthy_quantile_0.98`), `fixed:<value>` or `none`; None:
    all of the model file's, in the order of `PREFERRED`, of one kind the strictest first. Raises InputError for a label
    that the file does not have.
    """
    if wanted is None:
        return preferred(manifest.thresholds)
    if wanted == NO_THRESHOLD:
        return []
    if wanted in manifest.thresholds or _is_fixed(wanted):
        return [wanted]
    rule, _, value = wanted.partition(":")
    pattern = rf"{re.escape(rule)}[a-z_]*_{re.escape(value)}(_.*)?"
    short = [label for label in manifest.thresholds if value and re.fullmatch(pattern, label)]
    if len(short) != 1:
        why = f"{' and '.join(short)} both fit" if short else None
        do = f"use one of {', '.join(manifest.thresholds) or 'none'}, or {FIXED}<value>"
        raise InputError(f"the model has no threshold {wanted}", why=why, do=do)
    return short


def _is_fixed(wanted: str) -> bool:
    """Whether it is a value that the user gives; raises InputError for one that is no number."""
    if not wanted.startswith(FIXED):
        return False
    try:
        sound = math.isfinite(float(wanted.removeprefix(FIXED)))
    except ValueError:
        sound = False
    if not sound:
        why, do = f"{wanted.removeprefix(FIXED)} is no number", f"write it as {FIXED}2.5"
        raise InputError(f"{wanted} is no threshold", why=why, do=do)
    return True


@dataclass(frozen=True)
class _Run:
    """What all scans share. `kept`: what is written of each."""

    request: Request
    model: Model
    options: dict[str, Any]
    """As from `options_of`."""
    kept: Kept
    name: ModelName
    versions: dict[str, str]
    several: bool
    """Whether the model takes several sequences of a session."""

    @property
    def thresholds(self) -> list[str]:
        """Labels; the first one makes the list of findings."""
        labels: list[str] = self.options["thresholds"]
        return labels


def _run(request: Request, file: ModelFile, way: Way, todo: Sequence[Input]) -> list[Record]:
    """Predict scan after scan; returns those that failed. The earlier result of one that fails now stays."""
    about, out = file.manifest, request.output
    model = _loaded(request, file)
    template = Path(model.preprocess.template).name
    kept = Kept(request.space, request.save_reconstruction, about.modality, template)
    name = ModelName(name=about.name, study=about.study, label=about.label, sha256=file.sha256)
    run = _Run(request, model, way.options, kept, name, versions(), bool(about.sequences))
    outputs.describe(out, about.name)
    failed: list[Record] = []
    for number, item in enumerate(todo, 1):
        start = time.monotonic()
        try:
            record = _one(run, item, start)
        except StorageError:
            raise
        except BrainuadError as error:
            record = _failed(run, item, [f"{error.what} ({error.why})" if error.why else error.what], error.do or "")
        except Exception as error:  # an unforeseen fault of one scan stops no other
            if stop := _of_the_machine(error, item, out):
                raise stop from error
            logger.info("%s fails", item.scan, exc_info=True)
            what = f"the program stopped with {type(error).__name__}: {error}".partition("\n")[0]
            record = _failed(run, item, [what], FAULT_REMEDY)
        if record.state == "failed":
            record = record.model_copy(update={"seconds": round(time.monotonic() - start, 2)})
            if outputs.is_usable(out, item.scan):
                record = record.model_copy(update={"remarks": [*record.remarks, KEPT]})
            else:
                outputs.write_failed(out, record, about.modality)
            failed.append(record)
        _say(request, f"[{number}/{len(todo)}] {_sentence(record)}")
    return failed


def _of_the_machine(error: Exception, item: Input, out: Path) -> BrainuadError | None:
    """The error that stops all scans, for a fault that is not the scan's own; the scan's earlier results stay."""
    if isinstance(error, OSError) and error.errno in OF_THE_DISK:
        return unwritable(out, error)
    text = str(error).partition("\n")[0] or None
    if isinstance(error, RuntimeError) and OF_THE_GPU.search(str(error)):
        do = "wait until the GPU is free, or name another with --device; --device cpu needs none"
        return BrainuadError(f"the GPU fails at {item.scan}", file=item.image, why=text, do=do)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OF_THE_MEMORY.search(str(error))):
        do = "give the command more memory; scans that are finished are kept"
        return BrainuadError(f"{item.scan} needs more memory than there is", file=item.image, why=text, do=do)
    return None


def _one(run: _Run, item: Input, start: float) -> Record:
    """Predict one scan, and write all of it or nothing."""
    if item.problem:
        raise InputError(item.problem, file=item.image)
    request, model = run.request, run.model
    given = Given(
        modality=request.modality or item.modality,
        stripped=request.stripped,
        registered=request.registered,
        brain=request.mask,
        volume=request.volume,
        magnitude=request.magnitude,
        intensity_offset=request.intensity_offset,
    )
    content = content_of(item)
    found = model.predict(item.files if run.several else item.image, Options(given, run.thresholds))
    listed = findings_of(found)
    record = record_of(found, listed).model_copy(
        update={
            "scan": item.scan,
            "options": run.options,
            "model": run.name,
            "input": content,
            "seconds": round(time.monotonic() - start, 2),
        }
    )
    out, scan = request.output, item.scan
    with status.replaced(out / scan, scan) as part:
        files = outputs.write(part, item, found, record, run.kept)
        overlay.write(part / scan / status.OVERLAY, picture(found, listed, record.threshold))
        viewer = outputs.page_path(part, scan)
        if request.report == "html":
            with atomic(viewer) as path:
                path.write_text(page.write(found, record, listed, found.places), encoding="utf-8")
            files["viewer"] = viewer.name
        else:
            outputs.page_path(out, scan).unlink(missing_ok=True)
        if request.preview:
            preview.write(outputs.preview_path(part, scan), found)
            files["preview"] = outputs.preview_path(part, scan).name
        else:
            outputs.preview_path(out, scan).unlink(missing_ok=True)
        seconds = round(time.monotonic() - start, 2)
        record = record.model_copy(update={"files": files, "seconds": seconds})
        records.write(part / scan / records.NAME, record)
    return record


def _failed(run: _Run, item: Input, remarks: list[str], remedy: str) -> Record:
    about = {"remarks": remarks, "remedy": remedy, "finished": _now(), "versions": run.versions}
    return Record(scan=item.scan, file=item.image.name, model=run.name, state="failed", **about)


def _finish(request: Request, file: ModelFile, failed_now: Sequence[Record]) -> None:
    """Table and contact sheets of all scans in the output folder; one part of several leaves the sheets alone.

    A result of another model, whose scan failed now, is no row of the table.
    """
    out, about = request.output, file.manifest
    now = {each.scan: each for each in failed_now}
    there = records.read_all(out)
    every = [each for each in there if each.model.sha256 == file.sha256 or each.state == "failed"]
    every += [now[each.scan] for each in there if each not in every and each.scan in now]
    if not every:
        return
    records.write_table(out / records.TABLE, sorted(every, key=lambda each: each.scan))
    if request.num_parts == 1:
        worst_first = sorted(every, key=lambda each: (list(VERDICTS).index(each.state), each.scan))
        tiles = [
            contact_sheet.Tile(each.scan, VERDICTS[each.state], _caption(each), out / each.scan / status.OVERLAY)
            for each in worst_first
        ]
        with atomic_folder(out / outputs.SHEETS) as part:
            for number, sheet in enumerate(contact_sheet.pages(about.name, tiles), 1):
                sheet.save(part / f"page-{number}.png")
    failed = {each.scan: each for each in every if each.state == "failed"} | now
    doubtful = sum(each.state == "doubtful" for each in every)
    _say(request, f"{out / records.TABLE}: scans {len(every)}, doubtful {doubtful}, failed {len(failed)}")
    for each in failed.values():
        logger.error("%s failed: %s%s", each.scan, "; ".join(each.remarks), f"; {each.remedy}" if each.remedy else "")


def _sentence(record: Record) -> str:
    return f"{record.scan}: {record.state}; {_caption(record)}; {record.seconds:.0f} s"


def _caption(record: Record) -> str:
    if record.state == "failed":
        return "; ".join(record.remarks)
    found = [f"score {record.score:.3g}"]
    found += [] if record.p_healthy is None else [f"p {record.p_healthy:.2g}"]
    if record.marked_ml is not None:
        found.append(f"{len(record.findings)} findings, {record.marked_ml:.3g} ml")
    return "; ".join([", ".join(found), *record.remarks])


def _loaded(request: Request, file: ModelFile) -> Model:
    accelerator = _accelerator(request.device)
    try:
        return Model(file, request.model, accelerator, request.threads, request.batch)
    except InputError as error:
        if "no GPU" in error.what:
            raise InputError(error.what, do="name --device auto or --device cpu") from None
        raise


def _accelerator(device: str) -> str:
    """`cpu`, `gpu` or `auto`; of `cuda:1` this process sees no other GPU. Raises InputError for one that it lacks."""
    if device.startswith("cuda:"):
        number, variable = device.removeprefix("cuda:"), "CUDA_VISIBLE_DEVICES"
        allowed = os.environ.get(variable)
        if allowed is not None:  # `cuda:1` is the second of those, as for torch
            there = [name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1")]
            if int(number) >= len(there):
                why = f"{variable} is '{allowed}', which allows {len(there)}, counted from 0"
                raise InputError(f"there is no GPU {device}", why=why, do="name another --device, or --device cpu")
            number = there[int(number)]
        os.environ[variable] = number
    return "gpu" if device.startswith("cuda") else device


def _separate(labels: Sequence[str] | None) -> list[str]:
    return [label for each in labels or () for label in each.replace(",", " ").split()]


def _say(request: Request, text: str) -> None:
    if not request.quiet:
        terminal.show(text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

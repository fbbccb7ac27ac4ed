"""The options of `brainuad predict`. Light: the command line reads them for every `--help`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

WHAT, HOW, RUN = "Which scans", "What is written", "How it runs"
Space = Literal["native", "mni", "both"]
Report = Literal["html", "none"]
MODALITIES = ("T1w", "T1ce", "T2w", "FLAIR", "PDw", "ct")


@dataclass(frozen=True)
class Request:
    """What a user asks for."""

    input: Annotated[
        list[Path],
        typer.Option(
            "--input",
            "-i",
            help="A scan; or a folder of NIfTI files, a BIDS data set, a DICOM folder. Repeat it for the sequences of "
            "one session.",
        ),
    ]
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; it is made.")]
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            "-m",
            help="Model file that `brainuad export` wrote, results/<study>/MODEL, or models:/NAME/VERSION in MLflow.",
        ),
    ]
    modality: Annotated[
        str | None,
        typer.Option(
            help="BIDS suffix of the scans: T1w, T1ce, T2w, FLAIR, PDw, ct; else as their names say.",
            rich_help_panel=WHAT,
        ),
    ] = None
    stripped: Annotated[
        bool | None,
        typer.Option(
            "--stripped/--with-skull",
            help="Whether the scans are skull-stripped; else decided for each.",
            rich_help_panel=WHAT,
        ),
    ] = None
    registered: Annotated[
        bool,
        typer.Option(
            "--registered", help="The scans lie in the template's space: no registration.", rich_help_panel=WHAT
        ),
    ] = False
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Brain mask on the grid of the scan, in place of skull stripping; for one scan.", rich_help_panel=WHAT
        ),
    ] = None
    volume: Annotated[
        int | None, typer.Option(min=0, help="Which volume of 4D files, from 0.", rich_help_panel=WHAT)
    ] = None
    magnitude: Annotated[
        bool, typer.Option("--magnitude", help="Take the magnitude of complex values.", rich_help_panel=WHAT)
    ] = False
    intensity_offset: Annotated[
        float,
        typer.Option(help="Added to every value: -1024 for CT without its rescale intercept.", rich_help_panel=WHAT),
    ] = 0.0
    participant_label: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these participants, without sub-; repeat, or separate by blanks.", rich_help_panel=WHAT
        ),
    ] = None
    session_label: Annotated[
        list[str] | None, typer.Option(help="Only these sessions, without ses-.", rich_help_panel=WHAT)
    ] = None
    threshold: Annotated[
        str | None,
        typer.Option(
            help="A rule of the model file, fixed:VALUE, or none; else masks of all its rules.", rich_help_panel=HOW
        ),
    ] = None
    space: Annotated[
        Space,
        typer.Option(help="Grid of maps and masks: the scan's own, the template's, or both.", rich_help_panel=HOW),
    ] = "native"
    save_reconstruction: Annotated[
        bool, typer.Option("--save-reconstruction", help="Also the model's reconstruction.", rich_help_panel=HOW)
    ] = False
    report: Annotated[Report, typer.Option(help="A viewer for each scan, or none.", rich_help_panel=HOW)] = "html"
    preview: Annotated[
        bool, typer.Option("--preview", help="A picture of slices for each scan.", rich_help_panel=HOW)
    ] = False
    goes_on: Annotated[
        bool, typer.Option("--continue", help="Skip scans that are finished in the output folder.", rich_help_panel=RUN)
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there.", rich_help_panel=RUN)
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=RUN)] = "auto"
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; else as many as the study used.", rich_help_panel=RUN)
    ] = None
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Slices that networks take at once; else as in the study.", rich_help_panel=RUN),
    ] = None
    num_parts: Annotated[
        int, typer.Option(min=1, help="Parts that the scans are dealt to, as for a job array.", rich_help_panel=RUN)
    ] = 1
    part_id: Annotated[int | None, typer.Option(min=0, help="Which part this is, from 0.", rich_help_panel=RUN)] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the scans and what would be done.", rich_help_panel=RUN)
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More messages.", rich_help_panel=RUN)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.", rich_help_panel=RUN)] = False


def check_options(request: Request) -> None:
    """Raises typer.BadParameter for options that do not go together."""
    if request.goes_on and request.overwrite:
        raise typer.BadParameter("--continue and --overwrite exclude each other")
    if not request.input:
        raise typer.BadParameter("--input names no scan")
    if len(request.input) > 1 and request.modality is not None:
        raise typer.BadParameter(
            "--modality names one sequence, and -i several; name the files so that each says its own"
        )
    if (request.participant_label or request.session_label) and request.input[0].is_file():
        raise typer.BadParameter("--participant-label and --session-label choose from a folder, and -i is a file")
    if request.part_id is None and request.num_parts > 1:
        raise typer.BadParameter(f"--num-parts {request.num_parts} needs --part-id, which of the parts this is, from 0")
    if (request.part_id or 0) >= request.num_parts:
        raise typer.BadParameter(
            f"--part-id is {request.part_id}, the last of {request.num_parts} parts is {request.num_parts - 1}"
        )
    if not math.isfinite(request.intensity_offset):
        raise typer.BadParameter(f"--intensity-offset is {request.intensity_offset}, and must be a number")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", request.device):
        raise typer.BadParameter(f"--device is {request.device}; use auto, cpu, cuda or cuda:N")
    if request.modality is not None and request.modality not in MODALITIES:
        raise typer.BadParameter(f"--modality is {request.modality}; use one of {', '.join(MODALITIES)}")
    if request.verbose and request.quiet:
        raise typer.BadParameter("--verbose and --quiet exclude each other")


def takes(request: type[Any]) -> Callable[[Callable[[Any], int]], Callable[..., int]]:
    """Decorator: the function takes the fields of a dataclass as options of a command, and is called with one."""

    def decorated(function: Callable[[Any], int]) -> Callable[..., int]:
        def command(**values: Any) -> int:
            return function(request(**values))

        command.__name__, command.__doc__, command.__module__ = function.__name__, function.__doc__, request.__module__
        hints = get_type_hints(request, include_extras=True)
        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            for name, each in inspect.signature(request).parameters.items()
        ]
        command.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        command.__annotations__ = hints | {"return": int}
        return command

    return decorated

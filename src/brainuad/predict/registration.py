"""The models of a finished study as registered models of MLflow, one of each label (`track: {register: true}`).

Called by Snakemake's main process at the end of a run, and by `brainuad register results/<study>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import leftovers
from brainuad.formats.model_file import SUFFIX
from brainuad.plan import Plan
from brainuad.run_end import guarded, show

if TYPE_CHECKING:
    from brainuad.track.experiment import Destination


def after_success(plan: Plan, workflow: Any) -> None:
    """Register the models where the study asks for it, and show their addresses; a fault is a sentence.

    `workflow`: Snakemake's, of the run that just ended. Nothing is done where a part of the study alone was asked for.
    """
    if plan.study.track.register and any(job.rule.name == "track" for job in workflow.dag.jobs):
        guarded(plan, "register the models in MLflow", lambda: _register(plan))


def _register(plan: Plan) -> None:
    from brainuad.track.experiment import Destination, ImportFailedError

    to = Destination(plan.folder.parent / "mlflow", plan.study.track.uri)
    again = f"`brainuad register {plan.folder}` tries again"
    try:
        for line in register_study(plan.study, plan.folder, to):
            show(line)
    except ImportFailedError as error:
        show(f"warning: no model was registered in MLflow: {error.why}; {again}")


def register_study(study: Study, folder: Path, to: Destination) -> Iterator[str]:
    """Export each model as `brainuad export` does without options, and register it; a line for each, as it is done.

    What is registered already is not exported again. A model that cannot be is a line that says why. `folder`: results
    of the study. Raises ImportFailedError where MLflow is unavailable.
    """
    from brainuad.predict import mlflow_models
    from brainuad.predict.export import Wanted, export_study
    from brainuad.track.experiment import ImportFailedError

    known = mlflow_models.registered(study.study, list(study.models), study.seeds[0], to)
    refused: dict[str, list[str]] = {}
    for model in study.models:
        if model in known:
            continue
        try:
            with leftovers.temporary_folder() as place:
                file = place / f"{model}{SUFFIX}"
                export_study(study, folder, Wanted(model), file)
                yield f"registered in MLflow: {mlflow_models.register(file, to)}"
        except ImportFailedError:
            raise
        except InputError as error:
            why = "; ".join(filter(None, [error.why, error.do]))
            refused.setdefault(f"{error.what.replace(model, 'the model')}: {why}", []).append(model)
    for why, models in refused.items():
        yield f"warning: not registered in MLflow: {', '.join(models)}: {why}"
    if known:
        yield f"registered in MLflow before: {', '.join(known.values())}"

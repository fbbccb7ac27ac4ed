"""What the scenarios share. Without `make test-cluster` none of them is collected; under it Slurm must be there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("BRAINUAD_CLUSTER") else ["test_*.py"]

if os.environ.get("BRAINUAD_CLUSTER"):
    from onenode import Slurm, say
    from study import Workspace

    @pytest.fixture(scope="session")
    def slurm() -> Slurm:
        """The cluster that `run.sh` started."""
        cluster = Slurm(Path(os.environ["BRAINUAD_CLUSTER"]))
        assert (cluster.state / "run.path").exists(), "no cluster was started: type make test-cluster"
        return cluster

    @pytest.fixture(scope="session")
    def reference(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
        """The study, run to its end on this machine without Slurm."""
        if earlier := os.environ.get("BRAINUAD_CLUSTER_REFERENCE"):
            return Workspace(Path(earlier))
        workspace = Workspace(tmp_path_factory.mktemp("reference"))
        say("the unbroken run, without Slurm")
        workspace.run(slurm=False)
        return workspace

    @pytest.fixture
    def prepared(reference: Workspace, slurm: Slurm, tmp_path: Path) -> Iterator[Workspace]:
        """The same study without its network: preprocessed, normalised, the baseline trained and scored."""
        workspace = reference.copy(tmp_path / "study")
        workspace.forget_the_network()
        yield workspace
        tidy(workspace, slurm)

    @pytest.fixture
    def fresh(slurm: Slurm, tmp_path: Path) -> Iterator[Callable[[str], Workspace]]:
        """Makes empty workspaces."""
        made = []

        def make(name: str) -> Workspace:
            (tmp_path / name).mkdir()
            made.append(Workspace(tmp_path / name))
            return made[-1]

        yield make
        for workspace in made:
            tidy(workspace, slurm)

    def tidy(workspace: Workspace, slurm: Slurm) -> None:
        """Leave the queue as it was, whatever a scenario did."""
        workspace.kill()
        left = slurm.active(workspace.folder)
        if left:
            slurm.cancel(*left)

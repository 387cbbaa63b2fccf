"""Groups of users, clustered again from the vectors on disk."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.same import differing, first_few
from thinkrec.config.sections import Cluster, Params
from thinkrec.data.tables import Interactions
from thinkrec.experts.cluster import cluster_users
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.reports.gate import COLUMNS, decided
from thinkrec.reports.plots import read_rows
from thinkrec.systems.project import Project

_NAME = "groups"


def check_groups(layout: Layout, data: Interactions, seed: int) -> list[Check]:
    """Check that groups and means follow from the encoder's vectors, and that only train's users have one.

    The vectors themselves are checked by `check_vectors`.

    Args:
        layout: paths of groups and vectors.
        data: the interactions.
        seed: seed of the stage `cluster`.

    Raises:
        ModelError: the vectors can't be used.
    """
    facts = read_json(layout.clusters / "clusters.json")
    table = pq.read_table(layout.clusters / "groups.parquet")
    claim = f"made of the vectors of {facts['encoder']} alone"
    if not layout.encoder(facts["encoder"]).exists():
        remade = skipped(
            _NAME, claim, f"{layout.encoder(facts['encoder'])} is not there: `thinkrec cf` makes it"
        )
        return [_known(data, table["user_id"].to_numpy()), remade]
    options = Cluster(encoder=facts["encoder"], method=facts["method"], groups=len(facts["sizes"]))
    with TemporaryDirectory() as folder:
        again = Layout(layout.dataset, Path(folder))
        again.encoder("any").parent.mkdir(parents=True)
        again.encoder(options.encoder).symlink_to(layout.encoder(options.encoder).absolute())
        cluster_users(again, options, seed)
        faults = _differences(layout, again)
    summary = f"{len(table):,} users in {options.groups} groups, and their means, come out the same"
    return [_known(data, table["user_id"].to_numpy()), judged(_NAME, claim, faults, summary)]


def check_gate(layout: Layout, data: Interactions, params: Params) -> Check:
    """Check that the gate's decisions in the report follow from vectors and means.

    Raises:
        ModelError: groups or vectors can't be used.
    """
    claim, said = "decisions follow from users' vectors and groups' means", read_json(layout.gate)
    if not said:
        return skipped("gate", claim, "no system of evaluate asks it")
    curve, counts = decided(Project(layout, params, data))
    rows = [[row[name] for name in COLUMNS] for row in read_rows(layout.plot("gate"))]
    faults = (
        [] if rows == [[str(value) for value in row] for row in curve] else ["gate.csv has another curve"]
    )
    faults += [] if said["decisions"] == counts else ["gate.json counts other decisions"]
    again = ["run `thinkrec evaluate` again"]
    return judged("gate", claim, faults and faults + again, f"{len(rows):,} points, all equal")


def _known(data: Interactions, users: np.ndarray) -> Check:
    unknown = np.setdiff1d(users, data.user_id[data.rows("train")])
    faults = fault(len(unknown), "users without a train row have a group", f"id {next(iter(unknown), '')}")
    again = ["run `thinkrec cluster` again"]
    return judged(_NAME, "train's users only", faults and faults + again, f"{len(users):,} users")


def _differences(layout: Layout, again: Layout) -> list[str]:
    """Compare the groups on disk with those made again."""
    faults = []
    ours, theirs = (
        pq.read_table(each.clusters / "groups.parquet").sort_by("user_id") for each in (layout, again)
    )
    if ours["user_id"].to_pylist() != theirs["user_id"].to_pylist():
        faults.append("groups.parquet holds other users than have a vector")
    else:
        moved = int((ours["group"].to_numpy() != theirs["group"].to_numpy()).sum())
        faults += fault(moved, "users are in another group than their vectors say")
    means, remade = (load_file(each.clusters / "means.safetensors")["means"] for each in (layout, again))
    if means.shape != remade.shape or not np.allclose(means, remade, rtol=1e-5, atol=1e-7):
        faults.append("means.safetensors holds other means than the groups' vectors give")
    recorded, made = (read_json(each.clusters / "clusters.json") for each in (layout, again))
    wrong = differing(recorded, made)
    faults += [f"clusters.json disagrees about {first_few(wrong)}"] if wrong else []
    return [*faults, "run `thinkrec cluster` again"] if faults else []

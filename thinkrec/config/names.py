"""Names that parameters choose from: encoders, systems, and who takes part in the agent's comparison."""

from __future__ import annotations

from typing import Literal, get_args

Encoder = Literal["mf", "mf_no_biases", "lightgcn", "sasrec", "gsasrec", "sasrec_labels", "gsasrec_labels"]
ENCODERS: list[Encoder] = list(get_args(Encoder))
Scoring = Literal[Encoder, "gbdt", "backbone", "global", "experts", "thinkrec"]
"""Systems that score a row, but for the floors."""
SCORING: list[Scoring] = list(get_args(Scoring))
Counted = Literal["popularity", "recent_popularity", "item_mean"]
"""What is counted before a case's moment and ranks its candidates."""
Investigator = Literal["no_tools", "fixed_tools", "untrained", "sft", "grpo", "scripted"]
"""Agents, from the bare model to the trained one, and the script."""
AgentSystem = Literal[Counted, Scoring, Investigator]

"""Extractor and teacher by the names that params.yaml gives them."""

from __future__ import annotations

from pathlib import Path

from thinkrec.config.sections import Summarize, Synthesize
from thinkrec.teachers.protocol import KeywordExtractor, ReasoningTeacher

CACHE = "answers.jsonl"


def choose_extractor(params: Summarize, dataset: str, work: Path) -> KeywordExtractor:
    """Make the extractor; one behind an endpoint keeps its answers in the folder `work`."""
    if params.extractor == "tfidf":
        from thinkrec.teachers.tfidf import TfidfExtractor

        return TfidfExtractor(dataset, params.keywords, params.words)
    from thinkrec.teachers.chat import ChatClient
    from thinkrec.teachers.endpoint import EndpointExtractor

    client = ChatClient(params.endpoint, "summarize", work / CACHE)
    return EndpointExtractor(client, dataset, params.keywords, params.words)


def choose_teacher(params: Synthesize, seed: int, work: Path) -> ReasoningTeacher:
    """Make the teacher; one behind an endpoint keeps its answers in the folder `work`."""
    if params.teacher == "template":
        from thinkrec.teachers.template import TemplateTeacher

        return TemplateTeacher(seed)
    from thinkrec.teachers.chat import ChatClient
    from thinkrec.teachers.endpoint import EndpointTeacher

    return EndpointTeacher(ChatClient(params.endpoint, "synthesize", work / CACHE, seed))

"""Names of the metrics of reasons and of what stands beside systems, and what they mean."""

from __future__ import annotations

BLEURT_20 = "lucadiliello/BLEURT-20"
"""The checkpoint that ThinkRec names, as bleurt-pytorch's author converted it."""
NO_BLEURT = (
    f"no checkpoint: set evaluate.bleurt to {BLEURT_20} (2.3 GB, from the hub), or to a folder with "
    "config.json, spm.model and model.safetensors or pytorch_model.bin"
)
NO_VECTORS = (
    "no model of sentence vectors: run `thinkrec fetch minilm`, or name a folder in evaluate.sentence_model"
)
NO_WORDNET = "nltk finds no WordNet: run `thinkrec fetch wordnet`"
MEANING = {
    "meteor": "words in common with the teacher's text, stems and WordNet's synonyms included",
    "meteor_exact_stem": "the same without synonyms: nltk finds no WordNet (`thinkrec fetch wordnet`)",
    "bleurt": "a learned metric of likeness to the teacher's text",
    "similarity": "cosine of the sentence vectors of the reason and the teacher's text",
    "rouge_l": "longest common subsequence of words with the teacher's text, F1",
    "distinct_texts": "different texts among all",
    "distinct_2": "different pairs of neighbouring words among all",
    "words_known": "share of words that are English (WordNet, and a list of function words) or in the prompt",
    "verdict_fits_score": "share of texts that say Yes or No as the score does",
    "polarity_fits_verdict": "share of texts whose words lean to their verdict, of those that lean",
    "titles_in_prompt": "share of texts whose titles all stand in the prompt, of those that name some",
    "claims_fit_labels": "share of texts whose claims of like or dislike all fit labels, of those with some",
    "keywords_fit_items": "share of texts whose keywords are all of the items they name, of those with some",
}
"""What each metric says, in the order of tables."""
NOTHING = {
    "verdict_fits_score": "it has no score",
    "polarity_fits_verdict": "no text's words lean anywhere",
    "titles_in_prompt": "no text names a title",
    "claims_fit_labels": "no text claims a like or dislike",
    "keywords_fit_items": "no text says a keyword of its prompt",
}
"""Why a rule has no value where it judges no text."""
COMMON, NEAREST, AGAIN = "common_rationale", "nearest_rationale", "teacher_again"
BESIDE = {
    COMMON: "floor: the commonest rationale of train, everywhere",
    NEAREST: "floor: the rationale of the train row that is nearest, of the same verdict as the score",
    AGAIN: "ceiling: the teacher, which knows the label, asked a second time",
}
"""What is measured beside the systems."""

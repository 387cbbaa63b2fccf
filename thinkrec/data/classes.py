"""Check that train and valid have both classes."""

from __future__ import annotations

from thinkrec.data.tables import Interactions, Split
from thinkrec.errors import DataError


def check_classes(data: Interactions) -> None:
    """Check that train and valid have likes and dislikes.

    Raises:
        DataError: one of them has no rows, or one class only.
    """
    splits: tuple[Split, ...] = ("train", "valid")
    for split in splits:
        labels = data.label[data.rows(split)]
        likes = int(labels.sum())
        if likes in (0, len(labels)):
            raise DataError(
                f"split {split} has {likes} likes in {len(labels)} rows; likes and dislikes are needed in "
                "train and valid: check the windows and positive_above of the data set in params.yaml"
            )

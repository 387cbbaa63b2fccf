"""Sentences that their prompt shows to be untrue are left out of a reason."""

import pytest

from thinkrec.llm.shown import quoted
from thinkrec.llm.untrue import without_untrue
from thinkrec.teachers.template import COUNTER, NOTHING, SUPPORT

SHOWN = quoted(
    'Liked "Alien" (space, crew)\nLiked "Mr. Brown. Again" (paint)\nDisliked "Dune" ("Sci-Fi, Space", sand)\n'
    '\nNext item: "Ally" (space, sand)'
)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            'Yes. The user enjoyed "Alien" (space), so the space of "Ally" should appeal. They did not enjoy '
            '"Mr. Brown. Again" (a. b), so some doubt remains. They would probably like it.',
            'Yes. The user enjoyed "Alien" (space), so the space of "Ally" should appeal. '
            "They would probably like it.",
        ),
        ('No: they disliked "Alien". They liked "Mr. Brown. Again".', 'No. They liked "Mr. Brown. Again".'),
        ('No. They disliked "Alien".', "No."),
        ('They disliked "Alien". It may fit.', "It may fit."),
        ('Yes. They enjoyed "Ally" (space). They liked "Alien".', 'Yes. They liked "Alien".'),
        ('Yes. They liked "Alien" (sand), but not "Dune".', "Yes."),
        (
            'No. They did not enjoy "Dune" (sand), so the space of "Ally" should not appeal. It may.',
            'No. They did not enjoy "Dune" (sand). It may.',
        ),
        (
            'Yes. They liked "Mr. Brown. Again" (paint), and "Ally" offers the same space.',
            'Yes. They liked "Mr. Brown. Again" (paint).',
        ),
        (
            'Yes. "Ally" shares sand with items that the user enjoyed: "Alien" (crew). It may fit.',
            "Yes. It may fit.",
        ),
        ('Yes. They disliked "Alien", so the crew of "Ally" should appeal.', "Yes."),
        ('Yes, they enjoyed "Alien" (space). They will like it.', None),
        ('Yes. They may not enjoy "Alien" again; "Ally" has space.', None),
        ('Yes. They liked "Alien" (space), and "Ally" offers the same space.', None),
        ('No. "Ally" shares sand with items that the user did not enjoy: "Dune" (sand).', None),
        ('No. They disliked "Dune" ("Sci-Fi, Space").', None),
        ('Yes. They liked "Alien", and so the rest of "Ally" may do.', None),
        ('Yes. They will not enjoy "Ally".', None),
        ('Yes. They liked "Alien" (spa', None),
        ("Yes", None),
        ('Yes because they liked "Alien".', None),
        ('No - they disliked "Dune".', None),
        ('Yes "Ally" fits.', None),
        ("No. It is neither.", None),
        ("Yes. They liked \uf8ff. They disliked \ue002 things like \ue003.", None),
        ('Yes. They liked "Alien" more than "Dune".', None),
        ('Yes. The user, who enjoyed "Alien" and hated "Dune", will find "Ally" fine.', None),
        ('Yes. "Alien" was liked, "Dune" was disliked.', None),
        ('Yes. While "Dune" was disliked, "Alien" and "Mr. Brown. Again" were liked.', None),
        ('Yes. They not only liked "Alien" but also "Mr. Brown. Again".', None),
        ('Yes. "Dune" disappointed them, "Alien" did not.', None),
        ('Yes. They liked "Alien" rather than "Dune".', None),
        ('Yes. They liked "Alien", unlike "Dune".', None),
        ('Yes. They liked everything except "Dune".', None),
        ('No. They enjoyed neither "Dune" nor its kind.', None),
        ('Yes. They are expected to like "Ally".', None),
        ('Yes. I predict the user enjoys "Ally".', None),
        ('Yes. They disliked "Dune", yet liked "Alien".', None),
        (
            'Yes. They liked "Alien" (space), and "Mr. Brown. Again" (paint), so the paint of "Ally" may do.',
            'Yes. They liked "Alien" (space), and "Mr. Brown. Again" (paint).',
        ),
        ('No. Their dislike of the film "Alien" counts.', "No."),
        ('No. The liked items include "Alien" and "Dune". It may.', "No. It may."),
        ('Yes. They liked "Alien". They did not enjoy "Ally" (space).', 'Yes. They liked "Alien".'),
        ("No.", None),
        ("", None),
    ],
)
def test_what_is_not_true_is_left_out(reason: str, expected: str | None) -> None:
    assert without_untrue(reason, SHOWN) == (reason if expected is None else expected)


def test_a_long_history() -> None:
    """Marks do not suffice for the last ones, which are not judged."""
    lines = [f'{"Liked" if k < 6500 else "Disliked"} "T{k}"' for k in range(7000)]
    shown = quoted("\n".join([*lines, "", 'Next item: "Ally"']))
    for text in ('No. They disliked "T6999".', 'Yes. They liked "T6450".', 'Yes. They liked "T3".'):
        assert without_untrue(text, shown) == text
    assert without_untrue('Yes. They disliked "T3".', shown) == "Yes."


def test_hidden_labels_are_not_judged_and_without_history_the_target_is() -> None:
    hidden = quoted('Rated "Alien" (space)\n\nNext item: "Ally"')
    assert without_untrue('No. They disliked "Alien".', hidden) == 'No. They disliked "Alien".'
    alone = quoted('Next item: "Ally"')
    assert without_untrue('Yes. They dislike "Ally". They will enjoy "Ally".', alone) == (
        'Yes. They will enjoy "Ally".'
    )
    assert without_untrue("No. They disliked it.", {}) == "No. They disliked it."


@pytest.mark.parametrize(
    "template", [*SUPPORT[True], *SUPPORT[False], *COUNTER[True], *COUNTER[False], *NOTHING]
)
def test_what_the_teacher_writes_stays(template: str) -> None:
    liked = template in (*SUPPORT[True], *COUNTER[False])
    items, words = ('"Alien" (space)', "space") if liked else ('"Dune" (sand)', "sand")
    text = "Yes. " + template.format(items=items, target='"Ally"', words=words)
    assert without_untrue(text, SHOWN) == text

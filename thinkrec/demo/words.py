"""The vocabulary of the embedded data set: cue words of each theme, and neutral phrases around them.

An item's text never contains the name of a theme, only a few of its cues.
"""

from __future__ import annotations

THEMES: dict[str, str] = {
    "sea": "harbour tide lighthouse anchor sailor gull reef captain storm driftwood mast whale cove compass",
    "crime": "detective alibi fingerprint witness ransom motive burglar suspect smuggler inspector forgery",
    "space": "orbit comet starship nebula asteroid telescope astronaut galaxy lunar rocket martian eclipse",
    "kitchen": "chef saffron oven pastry recipe broth knife bakery pepper banquet dough cellar",
    "war": "trench battalion siege medic bunker cavalry truce rifle regiment bridgehead sniper barracks",
    "magic": "wizard rune dragon spell cauldron prophecy amulet sorceress goblin enchanted griffin wand",
    "music": "violin orchestra jazz drummer melody opera choir pianist ballad concert guitar rehearsal",
    "nature": "forest meadow glacier wolf river orchard badger canyon blossom heron moss waterfall",
}

TITLES = (
    "The {0} and the {1}",
    "A {0} for the {1}",
    "{0} without {1}",
    "The last {0}, the first {1}",
    "{0} at noon, {1} at night",
    "Never {0}, never {1}",
    "Between {0} and {1}",
    "The {1} that forgot the {0}",
)

SENTENCES = (
    "It opens with a {0} and an old {1}.",
    "A stranger brings a {0}, and soon everybody talks of the {1}.",
    "The second part follows a {0} through a long winter.",
    "Between {0} and {1} a family falls apart.",
    "Nobody expected the {0} to matter as much as the {1}.",
    "In the end only the {0} is left.",
    "Told in short chapters around a {0}.",
    "Years later the {0} returns, and with it the {1}.",
)

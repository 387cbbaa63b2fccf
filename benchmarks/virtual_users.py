"""Virtual users who like some themes and dislike others, for `warm_start.py`.

Items show words of one or two themes. No theme is one of the embedded data set's, and no word but for
`banquet-hall` and `rune-stone`, of which it has `banquet` and `rune`; no data set and no label is read. Users
of a low level are easy: few themes, one theme an item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIKED, DISLIKED, OTHER = 2.6, 2.4, 0.5
"""Tastes for a liked and a disliked theme, and the standard deviation of all others, in logits."""
SHARPNESS = 3.0
"""Factor of all tastes: how surely a liked item is called liked."""


@dataclass(frozen=True)
class Level:
    """Users of one difficulty.

    Args:
        themes: that a user meets; 0: 5 to 9.
        kind: one: items of one theme; beside: with a further one of which nothing is known; two: items of two
            themes, whose tastes add.
        loss: cross-entropy below which the next level begins.
    """

    themes: int
    kind: str
    loss: float


LEVELS = (
    Level(2, "one", 0.40), Level(4, "one", 0.36), Level(2, "beside", 0.42), Level(4, "beside", 0.46),
    Level(3, "two", 0.48), Level(4, "two", 0.52), Level(6, "two", 0.56), Level(0, "two", 0.0),
)  # fmt: skip


def draw_user(
    rng: np.random.Generator, level: Level, count: int
) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Draw a user's items: titles, keywords, and verdicts, [count] 0 or 1."""
    themes = level.themes or int(rng.integers(5, 10))
    order = rng.permutation(len(WORDS))
    own, others = order[:themes], order[themes:]
    taste = rng.normal(0, OTHER, themes)
    place, liked = rng.permutation(themes), max(1, round(themes * 0.35))
    taste[place[:liked]] += LIKED
    taste[place[liked : liked + max(1, round(themes * 0.45))]] -= DISLIKED
    drawn = [rng.choice(themes, 2 if level.kind == "two" else 1, replace=False) for _ in range(count)]
    logit = np.array([taste[each].sum() for each in drawn])
    if level.kind == "two":
        logit = logit - np.quantile(logit, rng.uniform(0.35, 0.6))
    verdicts = (rng.random(count) < 1 / (1 + np.exp(-SHARPNESS * logit))).astype(int)
    titles, keywords = [], []
    for each in drawn:
        first, second = _words(rng, level.kind, [own[theme] for theme in each], others)
        title = TITLES[rng.integers(len(TITLES))].format(first[0], second[0])
        titles.append(title[0].upper() + title[1:])
        words = [*first[1 : 1 + rng.integers(2, 5)], *second[1 : 1 + rng.integers(2, 5)]]
        keywords.append([words[k] for k in rng.permutation(len(words))])
    return titles, keywords, verdicts


def _words(rng: np.random.Generator, kind: str, themes: list[int], others: np.ndarray) -> list[list[str]]:
    """Return two lists of words of an item's themes."""
    found: list[list[str]] = [rng.permutation(WORDS[theme])[:8].tolist() for theme in themes]
    if kind == "one":
        return [found[0][:4], found[0][4:]]
    if kind == "beside":
        found.append(rng.permutation(WORDS[rng.choice(others)])[:8].tolist())
        return found[::-1] if rng.random() < 0.5 else found
    return found


TITLES = (
    "The {0} and the {1}",
    "A {0} for the {1}",
    "{0} without {1}",
    "The last {0}, the first {1}",
    "{0} at noon, {1} at night",
    "Never {0}, never {1}",
    "Between {0} and {1}",
    "The {1} that forgot the {0}",
    "{0}",
    "The {0} of {1}",
    "My {0}, my {1}",
    "{0} & {1}",
    "A {0}",
    "Return of the {0}",
    "{1} and {0}: a story",
)
_THEMES = """
locomotive platform carriage signal conductor tunnel sleeper timetable freight junction whistle viaduct
cockpit runway propeller hangar pilot glider parachute turbulence airliner altitude biplane stewardess
surgeon stethoscope nurse scalpel bandage ward ambulance fever vaccine patient clinic syringe
lawyer verdict judge jury testimony gavel appeal prosecutor lawsuit defendant oath attorney
teacher blackboard homework classroom pupil exam recess textbook principal desk spelling lesson
tractor barn harvest cow haystack plough rooster pasture pig scarecrow dairy fence
rose tulip greenhouse gardener lawn hedge trowel compost sunflower seedling daisy weeding
camel dune oasis caravan cactus mirage sandstorm nomad scorpion bedouin thirst sultan
iceberg igloo penguin sledge walrus blizzard husky frost polar tundra seal snowdrift
jaguar vine parrot machete liana monkey python expedition mosquito canopy gorilla orchid
goalkeeper stadium striker referee penalty league coach midfielder offside trophy dribble kickoff
ring glove knockout champion uppercut heavyweight corner punch bout bruise jab contender
pawn bishop checkmate gambit rook grandmaster castling stalemate opening endgame board knight
bicycle pedal helmet saddle peloton sprint gear handlebar spoke jersey breakaway tandem
slope chairlift slalom avalanche powder goggles chalet piste snowboard pole downhill lodge
dress runway tailor silk designer stocking model corset velvet boutique hem mannequin
diamond necklace emerald ring ruby goldsmith pearl brooch sapphire bracelet gemstone tiara
canvas easel brush palette portrait fresco watercolour gallery sketch pigment masterpiece studio
stage curtain actor rehearsing prompter spotlight understudy tragedy backstage applause costume playwright
clown trapeze acrobat juggler tent ringmaster elephant tightrope unicycle tamer magician sawdust
ballerina tango waltz choreographer pirouette tutu ballroom salsa flamenco footwork partner slipper
director projector screenplay premiere camera popcorn stuntman reel producer closeup trailer usher
journalist headline editor column deadline scoop press reporter interview tabloid printing correspondent
senator election parliament ballot mayor campaign treaty minister debate lobbyist speech coalition
banker stock dividend broker loan investor bankrupt audit mortgage ledger currency bond
hacker keyboard algorithm server software password laptop database modem programmer pixel malware
android cyborg circuit automaton sensor droid machine gearbox metallic servo assembly prototype
fossil raptor extinction triceratops paleontologist egg bone jurassic claw skeleton reptile amber
moat drawbridge dungeon tower baron jester throne tapestry rampart squire portcullis banquet-hall
pharaoh pyramid mummy sphinx papyrus tomb hieroglyph nile scarab sarcophagus obelisk cleopatra
gladiator senate centurion toga legion arena caesar aqueduct chariot forum emperor laurel
longship axe fjord rune-stone raid berserker mead saga norse shield skald horned
katana shogun ninja kimono honour geisha dojo ronin bamboo sake temple bonsai
cowboy saloon sheriff lasso outlaw ranch revolver stagecoach bandit rodeo spur frontier
agent microfilm codeword disguise embassy defector surveillance briefcase double-agent cipher informer mission
cell warden convict parole handcuffs inmate escape bars sentence guard shackles solitary
godfather gangster extortion casino hitman mob syndicate racket boss bootlegger cigar vendetta
zombie vampire coffin ghost scream crypt werewolf haunted graveyard demon possessed skeletons
kiss sweetheart bouquet proposal honeymoon darling valentine lover candlelight courtship heartbreak fiance
bride groom veil altar bridesmaid cake confetti vows reception chapel ringbearer toast
priest monastery prayer pilgrim saint cathedral monk gospel shrine sermon nun relic
summit climber crevasse ridge rope alpine peak basecamp sherpa piton cliff ascent
sandcastle surfboard sunscreen lifeguard towel seashell parasol bikini volleyball wave bucket promenade
butterfly beetle ant hornet caterpillar dragonfly moth cocoon grasshopper termite antenna larva
hive honey beekeeper nectar swarm pollen queen-bee honeycomb drone sting wax clover
puppy leash kennel terrier bark spaniel fetch collar greyhound poodle paw hound
kitten whiskers purr tabby meow siamese litter catnip feline tomcat scratching pounce
stallion stable jockey mare gallop bridle foal hoof derby hay mane pony
apple banana mango cherry lemon grape peach strawberry pear melon plum apricot
cocktail whisky bartender wine brandy beer champagne tavern cork gin rum vodka
chocolate caramel candy lollipop toffee marzipan fudge nougat sugar bonbon praline marshmallow
espresso barista mug cappuccino roast bean cafe latte grinder filter teapot caffeine
miner pickaxe coal shaft gold-rush ore dynamite lantern quarry tin drill seam
bricklayer crane scaffold cement architect hammer blueprint mortar carpenter roof plumber girder
laboratory beaker acid molecule flask reaction catalyst bunsen element solvent compound pipette
theorem equation geometry proof professor algebra fraction integer triangle calculus formula axiom
hurricane thunder rainbow drizzle tornado forecast lightning fog umbrella barometer cloud hail
lava crater eruption ash magma geyser earthquake tremor basalt sulphur fissure seismologist
driver pitstop lap engine chequered tyre podium speedway mechanic grid turbo overtaking
angler trout bait hook rod salmon net pike float creel lure fisherman
deer hunter trap falcon antler fox stag crossbow pheasant beagle boar tracker
grandmother cradle uncle twins nursery stepfather cousin toddler orphan aunt sibling nephew
doll teddy puzzle marble kite yo-yo dollhouse puppet rattle lego spinning-top hobbyhorse
lens darkroom tripod negative shutter flash photographer film-roll exposure album zoom snapshot
library author novel bookshop manuscript poet publisher chapter librarian typewriter bestseller quill
postman envelope stamp letter parcel telegram mailbox courier address postcard sealing-wax pigeon
pendulum watchmaker hourglass cuckoo stopwatch midnight cogwheel sundial alarm chronometer second-hand minute
fireman hose flame hydrant smoke ladder arson siren ember burn extinguisher blaze
periscope torpedo sonar hatch ballast depth diver bathysphere hull airlock propulsion pressure
lavender jasmine fragrance bottle musk scent sandalwood vanilla essence perfumer bergamot incense
"""
WORDS = [line.split() for line in _THEMES.strip().splitlines()]
"""Twelve words of each theme."""

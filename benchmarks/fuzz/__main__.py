"""`python benchmarks/fuzz [inputs] [seed]`: print a table; exit with status 1 if an input failed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Python adds this folder itself

from fuzz.run import main

if __name__ == "__main__":
    sys.exit(main())

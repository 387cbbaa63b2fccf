"""`python benchmarks/fuzz [inputs] [seed]`: prints a table; exit code 1 where an input failed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Python puts this folder itself there

from fuzz.run import main

if __name__ == "__main__":
    sys.exit(main())

"""A fuzzer of all readers: `prep` must account for every row of any raw files.

    python benchmarks/fuzz [inputs] [seed]

Each input is a folder of raw files, mostly clean rows with dirt at every level. The stage must either write
its tables, with read + quarantined = given for every file, or fail with a correct message. Modules: `dirt`
(values), `files` (raw files), `cases` (inputs of each reader), `oracle` (a file's rows, parsed without the
library), `check` (assertions), `drive` (generation of inputs).
"""

"""A fuzzer over all readers: `prep` must account for every row of whatever raw files it is given.

    python benchmarks/fuzz [inputs] [seed]

Each input is a folder of raw files, mostly clean rows with dirt at every level. The stage must either write
its tables, and then read + quarantined = given for every file, or refuse in one sentence that is true.
Modules: `dirt` (values), `files` (raw files of them), `cases` (inputs of each reader), `oracle` (rows of a
file, told without the library), `check` (what must hold), `drive` (inputs one after another).
"""

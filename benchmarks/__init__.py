"""Claims of speed and memory, each a ratio against a peer or a bound, taken in one run.

    make bench                       all of them, into results/benchmarks-<processor>.csv
    python -m benchmarks --quick     small and fast, to see that they work

A module holds its claims: its text says what is claimed, against what, and how to read it; `main(quick)`
returns the rows. Ours and the peer take turns, so that a machine that slows down slows both.
"""

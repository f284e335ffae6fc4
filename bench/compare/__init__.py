"""`python -m bench compare BASE HEAD`: what a change costs, hit by hit.

Both commits are built in release mode, each in a git worktree of its own (`builds`), and measured by the same program
on the same input (`probe`, which knows only the public surface of both extensions):

* **CPU time** (`timed`): blocks of A, B, B, A, each block with processes started anew, so that one lucky memory layout
  counts once. A block gives one ratio; the interval is Student's t over their logarithms (`intervals`). Dearer by more
  than the noise *and* an interval without 1 is a regression.
* **Instructions** (`callgrind`, `--instructions`): counts of a fixed number of hits under valgrind, built for
  x86-64-v3 since valgrind knows no AVX-512. They hardly vary, so the bound is small and a busy machine will do: CI
  runs this form.

Figures are costs per item, so a ratio above 1 means that HEAD is dearer.
"""

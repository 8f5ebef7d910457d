"""What people read: tables over rows and seeds, sweeps, figures.

In: sums, verdicts, ledgers and timings of finished jobs. Out: CSV, Markdown and pictures.
Must not know torch, or how a number was made.
"""

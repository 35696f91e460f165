"""What the words mean: events, states, verdicts, formulas and errors. Pure: no I/O, nothing of ours above."""

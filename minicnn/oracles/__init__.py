"""The formulas in literal loops on NumPy scalars: what the operations are tested against. NumPy only."""

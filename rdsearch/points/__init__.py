"""Operating points: one of them, its columns, tables of them as CSV, and the Pareto front."""

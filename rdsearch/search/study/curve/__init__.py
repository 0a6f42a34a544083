"""The sampler ``curve``: a trial is a curve, and the next recipe is the one whose curve adds most for its time.

`sampler` is a plain Optuna sampler for any objective that yields a curve; `recipes` says what it has to know of a
search here. The nearest published method is TMOBO (Wang, Fan and Ng, "Trajectory-based multi-objective hyperparameter
optimization for model retraining", arXiv 2405.15303), which also takes every point of a trial's way as a point of the
front; here costs are predicted and divided by, trials end by patience, and those that run are counted in.
"""

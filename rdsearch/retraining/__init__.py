"""How the survivors are trained again after pruning, and their levels after quantisation.

``retrain.retrain`` is the way in for a round's float network, ``rate.training`` for the levels of its file. Each option
is one file: a hook around the steps of the one training loop.
"""

"""Training for the file: levels and steps under the loss and the rate, steered so that the file meets a target.

Rate-distortion theory says that a good code for weights must prune; here the zeros come out of the training itself.
``training.FileTraining`` is the way in.
"""

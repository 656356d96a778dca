"""Learning from new labels: versions of models, a frozen validation set, replay, the gate, one cycle of retraining."""

"""Training: optimisation, handlers of the ignite engines, resume, and the session that ties them together."""

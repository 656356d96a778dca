"""Learning from new labels: the app's side of the loop that the bundle's `igtv.learning` runs."""

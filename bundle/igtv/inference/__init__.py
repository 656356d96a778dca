"""From a trained network to files: whole volumes, masks, maps, pictures, and what made them."""
